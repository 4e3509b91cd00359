"""Shells complete martlet's commands, flags and files."""

import shutil
import subprocess

import pytest

from processes import BINARY, run_cli

# What bash does when somebody presses the tab key.
PRESS = """
source {script}
COMP_WORDS=({words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
COMP_LINE="${{COMP_WORDS[*]}}"
COMP_POINT=${{#COMP_LINE}}
COMPREPLY=()
complete -p martlet >/dev/null
_martlet martlet "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def press(tmp_path):
    script = tmp_path / "martlet.bash"
    script.write_text(run_cli("completions", "bash").stdout)
    (tmp_path / "martlet.yaml").write_text("")
    (tmp_path / "other.txt").write_text("")

    def press(words):
        text = PRESS.format(script=script, words=words)
        done = subprocess.run(
            ["bash", "--norc", "-c", text], capture_output=True, text=True, cwd=tmp_path, env={"PATH": f"{BINARY.parent}:/usr/bin:/bin"}, timeout=20
        )
        assert done.returncode == 0, done.stderr
        return {line.strip() for line in done.stdout.splitlines() if line.strip()}

    return press


def test_bash_completes_commands_and_flags(press):
    assert {"serve", "doctor", "keys", "config", "completions"} <= press("martlet ''")
    assert press("martlet ke") == {"keys"}
    assert {"create", "rotate", "revoke"} <= press("martlet keys ''")
    assert press("martlet keys rot") == {"rotate"}
    assert "--grace" in press("martlet keys rotate --gr")
    assert press("martlet completions z") == {"zsh"}
    assert "debug" in press("martlet serve --log-level de")


def test_bash_completes_files_where_a_file_is_wanted(press):
    assert press("martlet serve --config m") == {"martlet.yaml"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_script_is_one_of_its_shell(shell, tmp_path):
    done = run_cli("completions", shell)
    assert done.returncode == 0 and "martlet" in done.stdout and "rotate" in done.stdout
    script = tmp_path / "script"
    script.write_text(done.stdout)
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr


def test_another_shell_is_a_wrong_use():
    assert run_cli("completions", "tcsh").returncode == 64
