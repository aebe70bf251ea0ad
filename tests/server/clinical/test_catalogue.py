from pathlib import Path

from server.clinical import tasks
from server.clinical.catalogue import Catalogue


def test_every_file_of_the_folder_is_one_task():
    files = {path.stem for path in Path(tasks.__path__[0]).glob("*.py")} - {"__init__"}
    names = [task.name for task in Catalogue()]
    assert len(names) == len(set(names)) == len(files)
