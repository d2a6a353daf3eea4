"""The command behind `make demo`; what it shows is looked at in the browser's tests."""

import pytest
from django.core.management import CommandError

from imagineer.management.commands.demo import Command, Program
from tests.clusters import wait_until


def test_a_program_that_cannot_run_is_given_up_after_three_starts_and_its_log_is_named(capsys):
    programs = [Program("work", "no-queue")]
    with pytest.raises(
        CommandError, match=r"for the third time within a minute; its log is .*no-queue\.log\. Nothing is"
    ):
        wait_until(lambda: Command()._look_after(programs), "it is given up", timeout=120)
    assert capsys.readouterr().err.count("it is started again") == 2
    assert programs[0].log.read_text().count("There is no queue 'no-queue'") == 3
