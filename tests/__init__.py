"""The tests. Failing assertions of ``tests.support`` are explained as those of tests are."""

import pytest

pytest.register_assert_rewrite("tests.support")
