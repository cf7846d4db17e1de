@echo off
rem Portreeve capture: collects what the server needs to know of a Windows host that cannot run the agent.
rem Windows 2000 to Server 2012. Reads only; writes one folder beside this file. Run it as an administrator.
rem A command that this system does not have is noted in its file, and the others go on.
setlocal
set OUT=%~dp0portreeve-capture-%COMPUTERNAME%
set HERE=%~dp0
if exist "%OUT%\." goto exists
mkdir "%OUT%"
if not exist "%OUT%\." goto failed
cd /d "%OUT%"
set REG_SERVICES=HKLM\SYSTEM\CurrentControlSet\Services
set REG_CONTROL=HKLM\SYSTEM\CurrentControlSet\Control
set REG_WINDOWS=HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion
set REG_NT=HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion

echo Collecting; this takes one to three minutes.

rem What changes while we look comes first: sockets, processes, states.
call :run sockets.txt netstat -ano
call :run processes.txt tasklist /svc
rem Server 2003 refuses a large buffer, and a small one may be too small for what has many services.
call :run services.txt sc queryex type= service state= all bufsize= 65000
call :run services-large.txt sc queryex type= service state= all bufsize= 250000
call :run sockets-with-owners.txt netstat -anob
call :run processes-csv.txt tasklist /svc /fo csv
call :run started-services.txt net start
if not exist "%HERE%tcpvcon.exe" goto no_tcpvcon
call :run tcpvcon.txt "%HERE%tcpvcon.exe" -accepteula -a -n
call :run tcpvcon-csv.txt "%HERE%tcpvcon.exe" -accepteula -a -c -n
:no_tcpvcon

call :run host.txt hostname
call :run host.txt ver
call :run system.txt systeminfo
rem Each in a file of its own: it may leave a process behind that keeps the file open.
call :run times.txt wmic os get CSName,Caption,Version,CSDVersion,ProductType,LocalDateTime,LastBootUpTime /value
call :run domain.txt wmic computersystem get DNSHostName,Domain,DomainRole,PartOfDomain /value
call :run updates.txt wmic qfe get CSName,Description,HotFixID,InstalledBy,InstalledOn /value

call :run ports.txt netsh interface ipv4 show dynamicport tcp
call :run ports.txt netsh interface ipv4 show dynamicport udp
call :run ports.txt netsh interface ipv6 show dynamicport tcp
call :run ports.txt netsh interface ipv6 show dynamicport udp
call :run ports.txt netsh interface ipv4 show excludedportrange tcp
call :run ports.txt netsh interface ipv4 show excludedportrange udp
call :run ports.txt netsh interface ipv6 show excludedportrange tcp
call :run ports.txt netsh interface ipv6 show excludedportrange udp

rem Names of all services and products: what is not in these lists does not exist.
call :run registry-names.txt reg query "%REG_SERVICES%"
call :run registry-names.txt reg query HKLM\SOFTWARE\Microsoft
call :run registry-ports.txt reg query "%REG_SERVICES%\Tcpip\Parameters"
call :run registry-ports.txt reg query "%REG_SERVICES%\DNS\Parameters"
call :run registry-ports.txt reg query "%REG_SERVICES%\NTDS\Parameters"
call :run registry-ports.txt reg query "%REG_SERVICES%\Netlogon\Parameters"
call :run registry-ports.txt reg query "%REG_SERVICES%\NtFrs\Parameters"
call :run registry-ports.txt reg query "%REG_CONTROL%\Nsi\{eb004a03-9b1a-11d4-9123-0050047759bc}" /s
call :run registry-ports.txt reg query "%REG_CONTROL%\Nsi\{eb004a02-9b1a-11d4-9123-0050047759bc}" /s
call :run registry-ports.txt reg query HKLM\SOFTWARE\Microsoft\Rpc /s
call :run registry-host.txt reg query "%REG_CONTROL%\ProductOptions"
call :run registry-host.txt reg query "%REG_CONTROL%\ComputerName\ActiveComputerName"
call :run registry-host.txt reg query "%REG_NT%"
call :run registry-products.txt reg query HKLM\SOFTWARE\Microsoft\Exchange /s
call :run registry-products.txt reg query HKLM\SOFTWARE\Microsoft\ExchangeServer /s
call :run registry-products.txt reg query "HKLM\SOFTWARE\Microsoft\NET Framework Setup\NDP" /s
call :run registry-products.txt reg query "HKLM\SOFTWARE\Microsoft\Microsoft SQL Server\Instance Names" /s
for /f "tokens=1,2,*" %%A in ('reg query "HKLM\SOFTWARE\Microsoft\Microsoft SQL Server\Instance Names\SQL" 2^>nul ^| find "REG_SZ"') do call :run registry-products.txt reg query "HKLM\SOFTWARE\Microsoft\Microsoft SQL Server\%%C\MSSQLServer\SuperSocketNetLib\Tcp\IPAll"
call :run registry-updates.txt reg query "%REG_WINDOWS%\Uninstall" /s
call :run registry-updates.txt reg query "HKLM\SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall" /s
call :run registry-updates.txt reg query "%REG_NT%\HotFix" /s
call :run registry-packages.txt reg query "%REG_WINDOWS%\Component Based Servicing\Packages" /s

rem One block for each service: start mode, account, dependencies.
for /f "tokens=1,*" %%A in ('sc query type^= service state^= all bufsize^= 65000 ^| find /v "    "') do call :configuration "%%A" "%%B"

for %%F in (*-errors.txt) do if "%%~zF"=="0" del "%%F" 2>nul
echo.
echo Done. Give all files of this folder to portreeve-server import:
echo   %OUT%
goto end

:run
rem The file, then the command as it is: it has signs at which numbered parameters would be parted.
set FILE=%1
set ERRORS=%FILE:.txt=-errors.txt%
set COMMAND=%*
set COMMAND=%COMMAND:* =%
>>%FILE% echo portreeve^>%COMMAND%
%COMMAND% >>%FILE% 2>>%ERRORS% <nul
if errorlevel 1 >>%FILE% echo portreeve^>rem this ended with an error: %COMMAND%
>>%FILE% echo.
goto end

:configuration
rem Lines at the left are "label: key name" and "label: display name"; sc knows only key names.
if "%~2"=="" goto end
sc qc "%~2" 4096 >sc-qc.tmp 2>nul
if errorlevel 1 goto no_configuration
>>configuration.txt echo portreeve^>sc qc "%~2"
type sc-qc.tmp >>configuration.txt
:no_configuration
if exist sc-qc.tmp del sc-qc.tmp
goto end

:exists
echo "%OUT%" is there already. Rename or remove it first: files of two moments must not be mixed.
goto end

:failed
echo "%OUT%" cannot be made. Copy this file to a folder in which you may write.

:end
