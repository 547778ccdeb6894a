"""The key table."""

from __future__ import annotations

import pytest

from sysdash import keys
from sysdash.keys import BINDINGS, Command, Context
from sysdash.limits import INTERVAL_S
from sysdash.model import Filter, SlowCall, Syscall
from sysdash.panels.help import key_lines
from sysdash.ui_state import Page, Prompt, UiState

# What the design promises: key, context, command.
PROMISED = [
    ("up", Context.DASHBOARD, Command.UP),
    ("down", Context.DASHBOARD, Command.DOWN),
    ("page up", Context.DASHBOARD, Command.PAGE_UP),
    ("page down", Context.DASHBOARD, Command.PAGE_DOWN),
    ("home", Context.DASHBOARD, Command.FIRST),
    ("end", Context.DASHBOARD, Command.LAST),
    ("j", Context.DASHBOARD, Command.DOWN),
    ("k", Context.DASHBOARD, Command.UP),
    ("enter", Context.DASHBOARD, Command.OPEN),
    ("backspace", Context.DETAIL, Command.BACK),
    ("esc", Context.DETAIL, Command.BACK),
    ("enter", Context.HELD, Command.OPEN_STORY),
    ("enter", Context.IN_FLIGHT, Command.OPEN_STORY),
    ("enter", Context.ERRNOS, Command.CHOOSE_ERRNO),
    ("enter", Context.STORY, Command.OPEN),
    ("backspace", Context.STORY, Command.BACK),
    ("esc", Context.STORY, Command.BACK),
    ("n", Context.STORY, Command.NEXT_CALL),
    ("N", Context.STORY, Command.PREVIOUS_CALL),
    ("esc", Context.IN_FLIGHT, Command.BACK),
    ("esc", Context.ERRNO, Command.ALL_ERRNOS),
    ("esc", Context.PROCESSES, Command.BACK),
    ("backspace", Context.ERRORS, Command.BACK),
    ("s", Context.SORTED, Command.SORT_NEXT),
    ("f6", Context.SORTED, Command.SORT_NEXT),
    ("r", Context.SORTING, Command.SORT_RATE),
    ("l", Context.SORTING, Command.SORT_LATENCY),
    ("t", Context.SORTING, Command.SORT_TOTAL),
    ("I", Context.LISTS, Command.SORT_INVERT),
    ("p", Context.LISTS, Command.PROMPT_PID),
    ("/", Context.LISTS, Command.PROMPT_NAME),
    ("f4", Context.LISTS, Command.PROMPT_NAME),
    ("ctrl l", Context.FILTERED, Command.CLEAR_FILTERS),
    (" ", Context.LIVE, Command.PAUSE),
    (" ", Context.PAUSED, Command.RESUME),
    ("tab", Context.DASHBOARD, Command.NEXT_PANEL),
    ("v", Context.DASHBOARD, Command.NEXT_VIEW),
    ("f2", Context.DASHBOARD, Command.NEXT_VIEW),
    ("+", Context.DASHBOARD, Command.SLOWER),
    ("-", Context.DASHBOARD, Command.FASTER),
    ("?", Context.DASHBOARD, Command.HELP),
    ("h", Context.DASHBOARD, Command.HELP),
    ("f1", Context.DASHBOARD, Command.HELP),
    ("q", Context.DASHBOARD, Command.QUIT),
    ("f10", Context.DASHBOARD, Command.QUIT),
]


@pytest.mark.parametrize(("key", "context", "command"), PROMISED)
def test_every_promised_key_is_bound(key: str, context: Context, command: Command) -> None:
    binding = keys.find(key, [context, Context.ALWAYS])
    assert binding is not None
    assert binding.command is command


def test_a_key_means_one_thing_in_a_context() -> None:
    pairs = [(binding.context, key) for binding in BINDINGS for key in binding.keys]
    assert len(pairs) == len(set(pairs))


def test_every_command_has_a_key_and_every_binding_its_help() -> None:
    assert {binding.command for binding in BINDINGS} == set(Command)
    assert all(binding.help for binding in BINDINGS)


def test_sort_letters_do_nothing_by_themselves() -> None:
    contexts = UiState().contexts()
    assert all(keys.find(key, contexts) is None for key in "rlt")


def test_contexts_follow_the_state() -> None:
    assert UiState(prompt=Prompt.PID, help=True).contexts() == [Context.PROMPT]
    assert UiState(help=True).contexts() == [Context.HELP]
    paused = UiState(paused=True, page=Page.ERRORS).contexts()
    assert Context.PAUSED in paused
    assert Context.ERRORS in paused
    assert Context.LIVE not in paused
    assert UiState(detail=True, sorting=True).contexts()[0] is Context.SORTING


CALL = SlowCall(0, Syscall(0), 10**9, 1, 1, "a", (0,) * 6, 0, None)


def test_lists_with_an_order_of_their_own_offer_no_sort() -> None:
    for key in ("s", "f6"):
        for page in (Page.ERRORS, Page.IN_FLIGHT):
            assert keys.find(key, UiState(page=page).contexts()) is None
        assert keys.find(key, UiState(story=CALL).contexts()) is None
        for state in (UiState(), UiState(page=Page.PROCESSES), UiState(detail=True)):
            binding = keys.find(key, state.contexts())
            assert binding is not None
            assert binding.command is Command.SORT_NEXT


def test_a_held_list_is_released_before_anything_else() -> None:
    for state in (UiState(), UiState(detail=True)):
        for key in ("esc", "home"):
            binding = keys.find(key, state.contexts(Context.HELD))
            assert binding is not None
            assert binding.command is Command.RELEASE


def test_a_story_covers_what_it_was_opened_from() -> None:
    for below in (UiState(), UiState(detail=True), UiState(page=Page.IN_FLIGHT)):
        below.story = CALL
        assert Context.STORY in below.contexts()
        for key in ("enter", "esc"):
            binding = keys.find(key, below.contexts())
            assert binding is not None
            assert binding.context is Context.STORY
    assert UiState(story=CALL, help=True).contexts() == [Context.HELP]


def test_an_open_story_takes_no_keys_for_the_list_behind_it() -> None:
    shown = Filter(pid=1)
    for key in ("I", "p", "/", "f4", "ctrl l"):
        assert keys.find(key, UiState(story=CALL, filter=shown).contexts()) is None
        for page in Page:
            assert keys.find(key, UiState(page=page, filter=shown).contexts()) is not None
        assert keys.find(key, UiState(detail=True, filter=shown).contexts()) is not None


def test_the_way_back_from_an_error_is_its_syscall_unless_it_came_from_the_list_of_errors() -> None:
    for page, command in ((Page.DASHBOARD, Command.ALL_ERRNOS), (Page.ERRORS, Command.BACK)):
        binding = keys.find("esc", UiState(page=page, detail=True, errno=2).contexts())
        assert binding is not None
        assert binding.command is command


def test_the_line_of_a_prompt_can_be_cleared() -> None:
    binding = keys.find("ctrl u", [Context.PROMPT])
    assert binding is not None
    assert binding.command is Command.CLEAR_LINE
    assert keys.label("ctrl u") == "Ctrl-U"


def test_a_panel_s_own_keys_hold_while_nothing_covers_it() -> None:
    assert Context.CALLERS in UiState(detail=True).contexts(Context.CALLERS)
    assert UiState(prompt=Prompt.PID).contexts(Context.CALLERS) == [Context.PROMPT]
    assert UiState(help=True).contexts(Context.CALLERS) == [Context.HELP]


def test_the_footer_shows_no_shadowed_key() -> None:
    shown = keys.footer(UiState(paused=True).contexts())
    assert Command.RESUME in {binding.command for binding in shown}
    assert Command.PAUSE not in {binding.command for binding in shown}


def test_help_and_documentation_have_every_binding() -> None:
    in_help = [does for _, lines in key_lines() for _, does in lines]
    document = keys.markdown()
    for binding in BINDINGS:
        assert binding.help in document
        assert binding.help in in_help or binding.context is Context.HELP


def test_the_help_of_the_interval_says_its_range() -> None:
    shortest, longest = (f"{seconds:g} s" for seconds in INTERVAL_S)
    for key, limit in (("+", longest), ("-", shortest)):
        binding = keys.find(key, [Context.ALWAYS])
        assert binding is not None
        assert binding.help.endswith(limit)


@pytest.mark.parametrize(
    ("key", "label"),
    [("f10", "F10"), ("ctrl l", "Ctrl-L"), (" ", "Space"), ("I", "I"), ("up", "↑")],
)
def test_labels(key: str, label: str) -> None:
    assert keys.label(key) == label
