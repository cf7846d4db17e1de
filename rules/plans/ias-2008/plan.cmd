@echo off
rem Plan for OLD2, Server 2008.
rem Made from the report of 2026-03-02 08:00 UTC.
rem Read it, then run it in an elevated command prompt. After the restart run it again with after-restart.
rem With undo it takes back what it did.
setlocal EnableExtensions DisableDelayedExpansion
set "HERE=%~dp0"
call :place
if errorlevel 1 exit /b 1
if /i not "%COMPUTERNAME%"=="OLD2" echo This plan is for OLD2.
if /i not "%COMPUTERNAME%"=="OLD2" exit /b 1
ver | findstr /L /C:" 6.0.6001" >nul
if errorlevel 1 echo This plan is for Windows 6.0.6001. Download the plan anew.
if errorlevel 1 exit /b 1
if "%~1"=="" goto now
if /i "%~1"=="after-restart" goto after_restart
if /i "%~1"=="undo" goto undo
echo Arguments: none, after-restart, or undo.
exit /b 2

:now
echo Stop DNS, and with it the services that depend on it.
call :stop DNS
if errorlevel 1 goto failed
echo Move the dynamic range of udp, for IPv4, to 49152-65535.
netsh int ipv4 set dynamicport udp start=49152 num=16384
if errorlevel 1 goto failed
echo Move the dynamic range of udp, for IPv6, to 49152-65535.
netsh int ipv6 set dynamicport udp start=49152 num=16384
if errorlevel 1 goto failed
echo Start IAS.
call :start IAS
if errorlevel 1 goto failed
echo Start DNS.
call :start DNS
if errorlevel 1 goto failed
echo Done. The next report shows it.
exit /b 0

:after_restart
echo Done. The next report shows it.
exit /b 0

:undo
echo Set it back to what it was.
echo   By hand.
echo Move the dynamic range of udp, for IPv4, back to 1025-60000.
netsh int ipv4 set dynamicport udp start=1025 num=58976
if errorlevel 1 goto failed
exit /b 0

:changed
echo   It is not what it was in the last report. Wait for the next one and download the plan anew.
:failed
echo That failed; nothing after it was done. What was stopped is started again.
call :start DNS
exit /b 1

(prelude)
