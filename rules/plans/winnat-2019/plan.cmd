@echo off
rem Plan for HV1, Server 2019.
rem Made from the report of 2026-03-02 08:00 UTC.
rem Read it, then run it in an elevated command prompt. After the restart run it again with after-restart.
rem With undo it takes back what it did.
setlocal EnableExtensions DisableDelayedExpansion
set "HERE=%~dp0"
call :place
if errorlevel 1 exit /b 1
if /i not "%COMPUTERNAME%"=="HV1" echo This plan is for HV1.
if /i not "%COMPUTERNAME%"=="HV1" exit /b 1
ver | findstr /L /C:" 10.0.17763" >nul
if errorlevel 1 echo This plan is for Windows 10.0.17763. Download the plan anew.
if errorlevel 1 exit /b 1
if "%~1"=="" goto now
if /i "%~1"=="after-restart" goto after_restart
if /i "%~1"=="undo" goto undo
echo Arguments: none, after-restart, or undo.
exit /b 2

:now
echo Stop winnat, and with it the services that depend on it.
call :stop winnat
if errorlevel 1 goto failed
echo Exclude tcp/62354 from what Windows hands out by itself, for IPv4; who asks for it by number still gets it.
call :exclude ipv4 tcp 62354 62354 1
if errorlevel 1 goto failed
echo Exclude tcp/62354 from what Windows hands out by itself, for IPv6; who asks for it by number still gets it.
call :exclude ipv6 tcp 62354 62354 1
if errorlevel 1 goto failed
echo Start glpi-agent.
call :start "glpi-agent"
if errorlevel 1 goto failed
echo Start winnat.
call :start winnat
if errorlevel 1 goto failed
echo Done. The next report shows it.
exit /b 0

:after_restart
echo Done. The next report shows it.
exit /b 0

:undo
echo Let Windows hand out tcp/62354 again, for IPv6.
call :include ipv6 tcp 62354 62354 1
if errorlevel 1 goto failed
echo Let Windows hand out tcp/62354 again, for IPv4.
call :include ipv4 tcp 62354 62354 1
if errorlevel 1 goto failed
exit /b 0

:changed
echo   It is not what it was in the last report. Wait for the next one and download the plan anew.
:failed
echo That failed; nothing after it was done. What was stopped is started again.
call :start winnat
exit /b 1

(prelude)
