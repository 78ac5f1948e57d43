import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.core.errors import UsageError
from palate.terminal.ref import Ref

name = st.from_regex(r"[\w.\-]+", fullmatch=True)
refs = st.builds(
    Ref,
    name | st.builds("{}/{}".format, name, name),
    st.just("main") | st.from_regex(r"[^\s@]+", fullmatch=True),
)


@given(refs)
def test_a_ref_survives_its_text(ref):
    assert Ref.parse(str(ref)) == ref


@pytest.mark.parametrize(
    ("text", "repo", "revision"),
    [
        ("me/titles", "me/titles", "main"),
        ("me/titles@round-1", "me/titles", "round-1"),
        ("me/titles@refs/pr/1", "me/titles", "refs/pr/1"),
        ("gpt2", "gpt2", "main"),
    ],
)
def test_refs_as_people_type_them(text, repo, revision):
    assert Ref.parse(text) == Ref(repo, revision)


@pytest.mark.parametrize(
    "text", [" ", "@main", "me/titles@", "me/x@a@b", "a/b/c", "/x", "me /x", "me/x@a b", "me/x\n"]
)
def test_text_that_names_no_repo_is_refused(text):
    with pytest.raises(UsageError, match=r"names no repo\. Write owner/name, or"):
        Ref.parse(text)


def test_a_project_without_a_base_model_says_so():
    with pytest.raises(UsageError, match="The project records no base model"):
        Ref.parse("")
