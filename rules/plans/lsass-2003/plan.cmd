@echo off
rem Plan for BES1, Server 2003.
rem Made from the report of 2026-03-02 08:00 UTC.
rem Read it, then run it in an elevated command prompt. After the restart run it again with after-restart.
rem With undo it takes back what it did.
setlocal EnableExtensions DisableDelayedExpansion
set "HERE=%~dp0"
call :place
if errorlevel 1 exit /b 1
if /i not "%COMPUTERNAME%"=="BES1" echo This plan is for BES1.
if /i not "%COMPUTERNAME%"=="BES1" exit /b 1
ver | findstr /L /C:" 5.2.3790" >nul
if errorlevel 1 echo This plan is for Windows 5.2.3790. Download the plan anew.
if errorlevel 1 exit /b 1
if "%~1"=="" goto now
if /i "%~1"=="after-restart" goto after_restart
if /i "%~1"=="undo" goto undo
echo Arguments: none, after-restart, or undo.
exit /b 2

:now
echo Add 3101 to ReservedPorts; what it holds stays.
reg query "HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters" /v ReservedPorts 2>nul | findstr /R /C:"REG_MULTI_SZ[^0-9]*1433-1434.03101[-0-9]*$" /C:"REG_MULTI_SZ[^0-9]*1433-1434.03101[-0-9]*.0$" /C:"REG_MULTI_SZ[^0-9]*1433-1434.03101[-0-9]*.0.0$" >nul
if not errorlevel 1 goto step1
reg query "HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters" /v ReservedPorts 2>nul | findstr /R /C:"REG_MULTI_SZ[^0-9]*1433-1434$" /C:"REG_MULTI_SZ[^0-9]*1433-1434.0$" /C:"REG_MULTI_SZ[^0-9]*1433-1434.0.0$" >nul
if errorlevel 1 goto changed
call :save "HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters" 1
reg add "HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters" /v ReservedPorts /t REG_MULTI_SZ /d "1433-1434\03101-3101" /f
if errorlevel 1 goto failed
:step1
echo Set TCP/IP Port under HKLM\SYSTEM\CurrentControlSet\Services\NTDS\Parameters to 47100.
reg query "HKLM\SYSTEM\CurrentControlSet\Services\NTDS\Parameters" /v "TCP/IP Port" 2>nul | findstr /R /I /C:"REG_DWORD[^0-9]*0xb7fc$" >nul
if not errorlevel 1 goto step2
reg query "HKLM\SYSTEM\CurrentControlSet\Services\NTDS\Parameters" /v "TCP/IP Port" 2>nul >nul
if not errorlevel 1 goto changed
call :save "HKLM\SYSTEM\CurrentControlSet\Services\NTDS\Parameters" 2
reg add "HKLM\SYSTEM\CurrentControlSet\Services\NTDS\Parameters" /v "TCP/IP Port" /t REG_DWORD /d 47100 /f
if errorlevel 1 goto failed
:step2
echo Restart the server.
echo   This script does not do that. When it suits: shutdown /r /t 0
echo Done. The next report shows it.
exit /b 0

:after_restart
echo Done. The next report shows it.
exit /b 0

:undo
echo Delete TCP/IP Port under HKLM\SYSTEM\CurrentControlSet\Services\NTDS\Parameters, which was not set.
reg query "HKLM\SYSTEM\CurrentControlSet\Services\NTDS\Parameters" /v "TCP/IP Port" >nul 2>&1
if errorlevel 1 goto step3
reg delete "HKLM\SYSTEM\CurrentControlSet\Services\NTDS\Parameters" /v "TCP/IP Port" /f
if errorlevel 1 goto failed
:step3
echo Set ReservedPorts back to 1433-1434.
reg add "HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters" /v ReservedPorts /t REG_MULTI_SZ /d "1433-1434" /f
if errorlevel 1 goto failed
echo Restart the server.
echo   This script does not do that. When it suits: shutdown /r /t 0
exit /b 0

:changed
echo   It is not what it was in the last report. Wait for the next one and download the plan anew.
:failed
echo That failed; nothing after it was done. What was stopped is started again.
exit /b 1

(prelude)
