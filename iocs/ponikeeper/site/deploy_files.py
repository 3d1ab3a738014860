"""Location of the files for the site in deploy/: example configuration, systemd units, screens."""

from pathlib import Path


def deploy_folder() -> Path:
    """Return the path of deploy/: inside the package if installed from a wheel, else in the repository."""
    package = Path(__file__).parents[1]
    packaged = package / "deploy"
    return packaged if packaged.is_dir() else package.parents[1] / "deploy"
