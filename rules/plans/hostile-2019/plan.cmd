@echo off
rem Plan for _b_x_/b____, Server 2019.
rem Made from the report of 2026-03-02 08:00 UTC.
rem Nothing is left to a script.
rem By hand: BlackBerry Router did not start: tcp/3101 is held by _img src=x onerror=alert(1)__.exe
rem - Decide which of the two is to have tcp/3101: BlackBerry Router or _img src=x onerror=alert(1)__.exe (PID 66, service a_ _ calc _b).
rem - Stop a_ _ calc _b. Services that depend on it stop too; start them again afterwards.
rem - Start BlackBerry Router.
rem - Give the other one another port or disable it, or the next boot will be the same race.
rem Read it, then run it in an elevated command prompt. After the restart run it again with after-restart.
rem With undo it takes back what it did.
setlocal EnableExtensions DisableDelayedExpansion
echo Nothing is to be done by this script.
exit /b 0
