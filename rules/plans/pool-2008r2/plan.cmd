@echo off
rem Plan for DC2, Server 2008 R2.
rem Made from the report of 2026-03-02 08:00 UTC.
rem Read it, then run it in an elevated command prompt. After the restart run it again with after-restart.
rem With undo it takes back what it did.
setlocal EnableExtensions DisableDelayedExpansion
set "HERE=%~dp0"
call :place
if errorlevel 1 exit /b 1
if /i not "%COMPUTERNAME%"=="DC2" echo This plan is for DC2.
if /i not "%COMPUTERNAME%"=="DC2" exit /b 1
ver | findstr /L /C:" 6.1.7601" >nul
if errorlevel 1 echo This plan is for Windows 6.1.7601. Download the plan anew.
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
echo Add 1645-1646 and 1812-1813 to SocketPoolExcludedPortRanges; what it holds stays.
reg query "HKLM\SYSTEM\CurrentControlSet\Services\DNS\Parameters" /v SocketPoolExcludedPortRanges 2>nul | findstr /R /C:"REG_MULTI_SZ[^0-9]*1645-1646.01812-1813.01900[-0-9]*$" /C:"REG_MULTI_SZ[^0-9]*1645-1646.01812-1813.01900[-0-9]*.0$" /C:"REG_MULTI_SZ[^0-9]*1645-1646.01812-1813.01900[-0-9]*.0.0$" >nul
if not errorlevel 1 goto step1
reg query "HKLM\SYSTEM\CurrentControlSet\Services\DNS\Parameters" /v SocketPoolExcludedPortRanges 2>nul | findstr /R /C:"REG_MULTI_SZ[^0-9]*1900[-0-9]*$" /C:"REG_MULTI_SZ[^0-9]*1900[-0-9]*.0$" /C:"REG_MULTI_SZ[^0-9]*1900[-0-9]*.0.0$" >nul
if errorlevel 1 goto changed
call :save "HKLM\SYSTEM\CurrentControlSet\Services\DNS\Parameters" 1
reg add "HKLM\SYSTEM\CurrentControlSet\Services\DNS\Parameters" /v SocketPoolExcludedPortRanges /t REG_MULTI_SZ /d "1645-1646\01812-1813\01900-1900" /f
if errorlevel 1 goto failed
:step1
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
echo Set SocketPoolExcludedPortRanges back to 1900.
reg add "HKLM\SYSTEM\CurrentControlSet\Services\DNS\Parameters" /v SocketPoolExcludedPortRanges /t REG_MULTI_SZ /d "1900-1900" /f
if errorlevel 1 goto failed
echo Stop DNS, and with it the services that depend on it.
call :stop DNS
if errorlevel 1 goto failed
echo Start DNS.
call :start DNS
if errorlevel 1 goto failed
exit /b 0

:changed
echo   It is not what it was in the last report. Wait for the next one and download the plan anew.
:failed
echo That failed; nothing after it was done. What was stopped is started again.
call :start DNS
exit /b 1

(prelude)
