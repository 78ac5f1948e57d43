"""Prompts that ask the same in nearly the same words, and prompts that only share a form."""

import pytest

from palate.core.similar import Similar, alike, is_typo, spoken_words, words

TEXT = "Write a title for a video about repairing old wooden clocks at home"


@pytest.mark.parametrize(
    "text",
    [
        TEXT.upper(),
        f"{TEXT}.",
        f"{TEXT}?",
        TEXT.replace(" ", "\u00a0\u2009 "),
        TEXT.replace("video", "vi\u200bdeo"),
        TEXT.replace("wooden", "woodne"),
        TEXT.replace("clocks", "clock"),
        TEXT.replace("repairing", "repairring"),
        f"Please {TEXT}",
        f"{TEXT}, please!",
        TEXT.replace("old", "antique"),
        TEXT.replace("old ", ""),
        TEXT.replace("old", "old broken"),
    ],
)
def test_the_same_question_in_other_words_is_found(text):
    others = ["What do whales eat in winter", "How do bridges stand the wind"]
    assert alike([text], [*others, TEXT]) == {text: TEXT}
    assert alike([TEXT], [*others, text]) == {TEXT: text}


CHINESE = "请用简单的语言解释一下量子计算的基本原理和它的主要应用"
JAPANESE = "東京でおすすめのレストランを三つ教えてください、予算は五千円です"
THAI = "ช่วยอธิบายหลักการทำงานของคอมพิวเตอร์ควอนตัมให้เข้าใจง่ายและยกตัวอย่างการใช้งาน"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (CHINESE, CHINESE.replace("应用", "用途")),
        (CHINESE, CHINESE.removeprefix("请") + "。"),
        (CHINESE, CHINESE.replace("一下", "")),
        (CHINESE * 3, (CHINESE * 3).replace("简单", "通俗", 1)),
        (JAPANESE, JAPANESE.replace("レストラン", "ホテル")),
        (JAPANESE, JAPANESE.replace("五", "六")),
        (THAI, THAI + "จริง"),
    ],
)
def test_one_changed_word_is_found_where_no_spaces_part_words(one, other):
    assert alike([one], [other, "今天天气很好"]) == {one: other}
    assert alike([other], [one]) == {other: one}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (CHINESE, "请写一首关于秋天的诗，要有月亮、河流和一只孤独的鸟"),
        ("请介绍一下北京的历史", "请介绍一下上海的历史"),
        ("東京の天気は", "大阪の天気は"),
        ("ร้านอาหารในกรุงเทพ", "ร้านอาหารในเชียงใหม่"),
        (THAI, "เขียนบทกวีเกี่ยวกับฤดูใบไม้ร่วงที่มีพระจันทร์และแม่น้ำ"),
    ],
)
def test_other_questions_without_spaces_are_others(one, other):
    assert alike([one], [other]) == {}


def test_accents_fold_where_they_are_accents():
    decomposed = "Re\u0301sume\u0301 of the nai\u0308ve plan"
    assert alike([decomposed], ["Resume of the naïve plan"])
    assert words("ｆｕｌｌ ﬁne") == ["full", "fine"]
    assert words("がか") != words("かか")  # a mark that makes another letter
    assert words("कि") != words("कु")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 3-4?", "What is 3+4?"),
        ("What is 3*4?", "What is 34?"),
        (
            "Tell me about the year 1914 in the history of Europe",
            "Tell me about the year 1915 in the history of Europe",
        ),
        ("Name the capital of France", "Name the capital of Italy"),
        ("Is it a cat", "Is it a car"),
        ("Why?", "How?"),
        ("", "Why?"),
    ],
)
def test_short_prompts_and_numbers_that_differ_are_different(one, other):
    assert alike([one], [other]) == {}


def test_subjects_of_one_template_that_share_a_word_are_different_prompts():
    subjects = [
        *("the moon", "the moon landing", "old maps", "old forests", "night trains"),
        *("night shifts", "chess openings", "chess computers", "plants", "plates"),
    ]
    filled = [f"Write a title for a video about {s}." for s in subjects]
    assert alike(filled[::2], filled[1::2]) == {}
    assert alike([filled[1].upper()], filled[:2]) == {filled[1].upper(): filled[1]}


def test_a_form_that_many_fill_differently_is_a_template():
    subjects = ["whales", "bridges", "glass", "violins", "deserts"]
    filled = [f"Write a title for a long video about the {s} of this world" for s in subjects]
    assert alike(filled[:2], filled[2:]) == {}
    typo = filled[0].replace("whales", "whaels")
    assert alike([typo], filled) == {typo: filled[0]}
    many = [f"Tell me about the word {'abcdefghij'[i // 10] * 4}{'klmnopqrst'[i % 10] * 3} here"
            for i in range(100)]  # fmt: skip
    assert alike(many[:50], many[50:]) == {}
    typo = many[70].replace("hhhh", "hhhhh")
    assert alike([typo], many) == {typo: many[70]}


def test_long_prompts_are_alike_if_nearly_all_of_them_is():
    text = " ".join(f"word{i * i % 977}" for i in range(300))
    changed = text.replace("word1 ", "another ").replace("word400 ", "")
    other = " ".join(f"word{i * 7 % 977}" for i in range(300))
    assert alike([changed], [text]) == {changed: text}
    assert alike([other], [text]) == {}


def test_texts_become_known_one_by_one():
    index = Similar([TEXT, TEXT + "!"])
    assert index.like(TEXT + "!") is None
    index.add(TEXT)
    assert index.like(TEXT + "!") == TEXT


@pytest.mark.parametrize(
    ("one", "other", "typo"),
    [
        ("wooden", "woodne", True), ("wooden", "wodden", True), ("wooden", "woodens", True),
        ("wooden", "wooed", False), ("wooden", "golden", False), ("old", "odl", False),
        ("year1914", "year1915", False),
    ],
)  # fmt: skip
def test_a_typo_is_one_letter_of_a_long_word(one, other, typo):
    assert is_typo(one, other) == is_typo(other, one) == typo


@pytest.mark.parametrize(
    ("text", "number"),
    [("two words", 2), ("  it's  fine.\n", 2), ("", 0), ("今天天气很好", 3), ("良い答えです", 3),
     ("สวัสดีครับ", 3), ("GPT说今天好", 3), ("안녕 하세요", 2)],
)  # fmt: skip
def test_words_are_counted_in_scripts_without_spaces(text, number):
    assert len(spoken_words(text)) == number
