"""The help of the commands: in sections, uncut, with examples."""

from click.testing import CliRunner

from service.commands import main


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(main, [*arguments, "--help"])
    assert result.exit_code == 0
    return result.output


def test_the_commands_stand_in_the_sections_of_who_needs_them() -> None:
    lines = shown().splitlines()
    headings = [lines.index(f"{title}:") for title in ("Use", "Train", "Operate")]
    assert headings == sorted(headings)
    listing = [line for line in lines[headings[0] :] if line.startswith("  ")]
    found = [line.split()[0] for line in listing if line[2] != " "]
    assert sorted(found) == sorted(main.commands)


def test_the_summaries_are_whole_sentences() -> None:
    listing = " ".join(shown().split())
    assert "…" not in listing
    assert "..." not in listing.removeprefix("Usage: main [OPTIONS] COMMAND [ARGS]...")
    for name, command in main.commands.items():
        assert command.help
        sentence = " ".join(command.help.split("\n\n")[0].split()).split(". ")[0].rstrip(".")
        assert f"{name} {sentence}." in listing


def test_no_line_of_help_is_wider_than_a_terminal() -> None:
    for arguments in ((), *((name,) for name in main.commands)):
        for line in shown(*arguments).splitlines():
            assert len(line) <= 80
