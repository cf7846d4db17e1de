@echo off
rem Plan for SRV1, Server 2019.
rem Made from the report of 2026-03-02 08:00 UTC.
rem Nothing is left to a script.
rem By hand: Zabbix Agent is stopped: tcp/10050 is held by other.exe
rem - Decide which of the two is to have tcp/10050: Zabbix Agent or other.exe (PID 500, service OtherSvc).
rem - Stop OtherSvc. Services that depend on it stop too; start them again afterwards.
rem - Start Zabbix Agent.
rem - Give the other one another port or disable it, or the next boot will be the same race.
rem Read it, then run it in an elevated command prompt. After the restart run it again with after-restart.
rem With undo it takes back what it did.
setlocal EnableExtensions DisableDelayedExpansion
echo Nothing is to be done by this script.
exit /b 0
