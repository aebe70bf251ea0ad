from pathlib import Path

import pytest

from server.clinical import tasks
from server.clinical.catalogue import Catalogue
from server.errors import NotFound


def test_every_file_of_the_folder_is_one_task():
    files = {path.stem for path in Path(tasks.__path__[0]).glob("*.py")} - {"__init__"}
    names = [task.name for task in Catalogue()]
    assert len(names) == len(set(names)) == len(files)


def test_a_task_is_found_by_its_name():
    catalogue = Catalogue()
    assert all(catalogue.find(task.name) is task for task in catalogue)


def test_any_other_name_is_answered_with_those_there_are():
    with pytest.raises(NotFound, match="medications"):
        Catalogue().find("diagnoses")
