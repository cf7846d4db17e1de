:place
reg query HKU\S-1-5-19 >nul 2>&1
if errorlevel 1 echo Start the command prompt as administrator.
if errorlevel 1 exit /b 1
exit /b 0

:stop
sc query "%~1" | findstr /R /C:"STATE .*: 1 " >nul
if not errorlevel 1 echo   It does not run.
if not errorlevel 1 exit /b 0
net stop "%~1" /y
sc query "%~1" | findstr /R /C:"STATE .*: [234567] " >nul
if not errorlevel 1 exit /b 1
exit /b 0

:start
sc query "%~1" | findstr /R /C:"STATE .*: 4 " >nul
if not errorlevel 1 echo   It runs.
if not errorlevel 1 exit /b 0
net start "%~1"
exit /b %ERRORLEVEL%

:save
if exist "%HERE%portreeve-before-%~2.reg" exit /b 0
reg export "%~1" "%HERE%portreeve-before-%~2.reg" >nul 2>&1
exit /b 0

:excluded
netsh int %1 show excludedportrange protocol=%2 store=persistent | findstr /R /C:"^ *%3  *%4[^0-9]*$" >nul
exit /b %ERRORLEVEL%

:exclude
call :excluded %1 %2 %3 %4
if not errorlevel 1 echo   It is excluded.
if not errorlevel 1 exit /b 0
netsh int %1 add excludedportrange protocol=%2 startport=%3 numberofports=%5 store=persistent
call :excluded %1 %2 %3 %4
exit /b %ERRORLEVEL%

:include
call :excluded %1 %2 %3 %4
if errorlevel 1 exit /b 0
netsh int %1 delete excludedportrange protocol=%2 startport=%3 numberofports=%5 store=persistent
exit /b %ERRORLEVEL%

:removed
rem 3010: done, and counts from the next restart. 2359303: it is not installed.
if "%~1"=="0" exit /b 0
if "%~1"=="3010" exit /b 0
if "%~1"=="2359303" exit /b 0
echo   It ended with %~1.
exit /b 1
