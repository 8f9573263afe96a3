"""What the run folder tells the processes of a run."""

import pytest

from pretexto.errors import InputError
from pretexto.training.run_dir import RunFolder


def test_a_process_waits_no_longer_than_it_may_for_a_run_that_nobody_begins(tmp_path):
    with pytest.raises(InputError, match="same --out on a disk that they share"):
        RunFolder(tmp_path).wait_for_begin(0.1)
