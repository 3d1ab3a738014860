"""Where the files for the site lie: example configuration, systemd unit and what joins them in deploy/."""

from pathlib import Path


def deploy_folder() -> Path:
    """Find deploy/: inside the package where it was installed from a wheel, else beside the source."""
    package = Path(__file__).parents[1]
    packaged = package / "deploy"
    return packaged if packaged.is_dir() else package.parents[1] / "deploy"
