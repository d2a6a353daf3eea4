from imagineer.backup import Report
from imagineer.management.backup_command import BackupCommand
from imagineer.restore import restore_backup


class Command(BackupCommand):
    requires_migrations_checks = False
    help = (
        "Put a backup into an empty library: every file is checked first, then the database is put in place."
    )
    path_help = "what `manage.py backup` has written"
    act = staticmethod(restore_backup)

    def describe(self, report: Report) -> str:
        whole = report.files - len(report.lost) - len(report.damaged)
        return (
            f"Restored from {report.path}: the database and {whole:,} files, each as it was. Small pictures "
            "are made again when they are asked for. Sign in again; sessions are not kept."
        )

    def complain(self, report: Report) -> str:
        unrestored = report.lost + report.damaged
        return (
            f"{len(unrestored)} files were lost or damaged before the backup was made, or have gone since from where "
            f"the pictures lie; the first is {unrestored[0]}. Everything else is back."
        )
