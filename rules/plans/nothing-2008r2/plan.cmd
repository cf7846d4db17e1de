@echo off
rem Plan for SRV1, Server 2008 R2.
rem Made from the report of 2026-03-02 08:00 UTC.
rem Nothing is to be done.
rem Read it, then run it in an elevated command prompt. After the restart run it again with after-restart.
rem With undo it takes back what it did.
setlocal EnableExtensions DisableDelayedExpansion
echo Nothing is to be done by this script.
exit /b 0
