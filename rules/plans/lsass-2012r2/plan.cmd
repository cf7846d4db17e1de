@echo off
rem Plan for H1, Server 2012 R2.
rem Made from the report of 2026-03-02 08:00 UTC.
rem Read it, then run it in an elevated command prompt. After the restart run it again with after-restart.
rem With undo it takes back what it did.
setlocal EnableExtensions DisableDelayedExpansion
set "HERE=%~dp0"
call :place
if errorlevel 1 exit /b 1
if /i not "%COMPUTERNAME%"=="H1" echo This plan is for H1.
if /i not "%COMPUTERNAME%"=="H1" exit /b 1
ver | findstr /L /C:" 6.3.9600" >nul
if errorlevel 1 echo This plan is for Windows 6.3.9600. Download the plan anew.
if errorlevel 1 exit /b 1
if "%~1"=="" goto now
if /i "%~1"=="after-restart" goto after_restart
if /i "%~1"=="undo" goto undo
echo Arguments: none, after-restart, or undo.
exit /b 2

:now
echo Set DCTcpipPort under HKLM\SYSTEM\CurrentControlSet\Services\Netlogon\Parameters to 47200.
reg query "HKLM\SYSTEM\CurrentControlSet\Services\Netlogon\Parameters" /v "DCTcpipPort" 2>nul | findstr /R /I /C:"REG_DWORD[^0-9]*0xb860$" >nul
if not errorlevel 1 goto step1
call :save "HKLM\SYSTEM\CurrentControlSet\Services\Netlogon\Parameters" 1
reg add "HKLM\SYSTEM\CurrentControlSet\Services\Netlogon\Parameters" /v "DCTcpipPort" /t REG_DWORD /d 47200 /f
if errorlevel 1 goto failed
:step1
echo Restart the server.
echo   This script does not do that. When it suits: shutdown /r /t 0
echo Done. The next report shows it.
exit /b 0

:after_restart
echo Exclude tcp/3101 from what Windows hands out by itself, for IPv4; who asks for it by number still gets it.
call :exclude ipv4 tcp 3101 3101 1
if errorlevel 1 goto failed
echo Exclude tcp/3101 from what Windows hands out by itself, for IPv6; who asks for it by number still gets it.
call :exclude ipv6 tcp 3101 3101 1
if errorlevel 1 goto failed
echo Start BlackBerry Router.
call :start "BlackBerry Router"
if errorlevel 1 goto failed
echo Done. The next report shows it.
exit /b 0

:undo
echo Let Windows hand out tcp/3101 again, for IPv6.
call :include ipv6 tcp 3101 3101 1
if errorlevel 1 goto failed
echo Let Windows hand out tcp/3101 again, for IPv4.
call :include ipv4 tcp 3101 3101 1
if errorlevel 1 goto failed
echo Put DCTcpipPort under HKLM\SYSTEM\CurrentControlSet\Services\Netlogon\Parameters back to what it was, from the file that the script saved first.
echo   By hand.
echo Restart the server.
echo   This script does not do that. When it suits: shutdown /r /t 0
exit /b 0

:changed
echo   It is not what it was in the last report. Wait for the next one and download the plan anew.
:failed
echo That failed; nothing after it was done. What was stopped is started again.
exit /b 1

(prelude)
