@echo off
rem Plan for MAIL1, Server 2008.
rem Made from the report of 2026-03-02 08:00 UTC.
rem By hand: KB948609 breaks Autodiscover on this Exchange 2007 SP1 server
rem - Test: Test-OutlookWebServices passes, and Outlook shows Out of Office.
rem Read it, then run it in an elevated command prompt. After the restart run it again with after-restart.
rem With undo it takes back what it did.
setlocal EnableExtensions DisableDelayedExpansion
set "HERE=%~dp0"
call :place
if errorlevel 1 exit /b 1
if /i not "%COMPUTERNAME%"=="MAIL1" echo This plan is for MAIL1.
if /i not "%COMPUTERNAME%"=="MAIL1" exit /b 1
ver | findstr /L /C:" 6.0.6001" >nul
if errorlevel 1 echo This plan is for Windows 6.0.6001. Download the plan anew.
if errorlevel 1 exit /b 1
if "%~1"=="" goto now
if /i "%~1"=="after-restart" goto after_restart
if /i "%~1"=="undo" goto undo
echo Arguments: none, after-restart, or undo.
exit /b 2

:now
echo Uninstall KB948609.
start "" /w pkgmgr /up:Package_for_KB948609~31bf3856ad364e35~amd64~~6.0.1.2716 /norestart
call :removed %ERRORLEVEL%
if errorlevel 1 goto failed
echo Restart the server.
echo   This script does not do that. When it suits: shutdown /r /t 0
echo Done. The next report shows it.
exit /b 0

:after_restart
echo Done. The next report shows it.
exit /b 0

:undo
echo Install KB948609 again from the Microsoft Update Catalog.
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
