"""Chat templates are programs of unknown origin: they render, or fail as `ChatTemplateError`, and reach nothing."""

from __future__ import annotations

import pytest

from leafwise.runtime.chat import ChatTemplate
from leafwise.runtime.contracts import Message
from leafwise.runtime.errors import ChatTemplateError

CHATML = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ASK = (Message(role="user", content="hello"),)


def test_chatml_ends_where_the_answer_begins() -> None:
    assert ChatTemplate(CHATML).render(ASK) == "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"


def test_special_tokens_and_the_functions_of_real_templates_are_there() -> None:
    template = ChatTemplate(
        "{{ bos_token }}{{ messages | tojson }}{{ strftime_now('%Y')[:2] }}{{ eos_token }}", bos="<s>", eos="</s>"
    )
    assert template.render(ASK) == '<s>[{"role": "user", "content": "hello"}]20</s>'


def test_text_of_users_is_not_rendered_again() -> None:
    assert "{{ 1 + 1 }}" in ChatTemplate(CHATML).render((Message(role="user", content="{{ 1 + 1 }} <b>"),))
    assert "<b>" in ChatTemplate(CHATML).render((Message(role="user", content="<b>"),))


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[",
        "{% for %}",
        "{{ raise_exception('no system message') }}",
        "{{ messages.nothing.at.all }}",
        "{{ 1 / 0 }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{% for i in range(10 ** 9) %}x{% endfor %}",
    ],
)
def test_what_a_template_does_wrong_is_its_own_error(source: str) -> None:
    with pytest.raises(ChatTemplateError) as caught:
        ChatTemplate(source).render(ASK)
    assert "\n" not in caught.value.message
