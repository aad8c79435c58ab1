using System.Diagnostics;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using OrleansMq.Silo.Configuration;
using OrleansMq.Silo.Logging;

namespace OrleansMq.Silo.Hosting;

/// <summary>The program, from the command line to the exit code.</summary>
internal static class BrokerProgram
{
    /// <summary>The broker ran and was stopped.</summary>
    public const int Done = 0;
    /// <summary>The broker could not start; the message has the cause.</summary>
    public const int Refused = 1;
    /// <summary>A flag, a variable or the configuration file is wrong.</summary>
    public const int WrongUsage = 2;
    /// <summary>The cluster declared the broker dead, or its silo cannot go on: start it again.</summary>
    public const int Evicted = 3;
    /// <summary>Another process holds a port that the broker needs.</summary>
    public const int PortTaken = 4;
    /// <summary>A second Ctrl-C: the code that shells report for a program ended by that signal.</summary>
    private const int Interrupted = 130;

    /// <summary>Runs the broker until it is stopped; returns the exit code.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        try
        {
            var invocation = new BrokerCommandLine().Parse(args);
            if (invocation.Answer is { } answer)
                return answer(Console.Out);
            var settings = SettingsResolver.Resolve(invocation.Flags, invocation.ConfigFile, Environment.GetEnvironmentVariable,
                File.ReadAllText, File.OpenRead);
            await ServeAsync(settings, invocation.Json);
            return Done;
        }
        catch (SettingsException e)
        {
            return Fail(e, WrongUsage);
        }
        catch (StartException e)
        {
            return Fail(e, IsPortTaken(e) ? PortTaken : Refused);
        }
        catch (OperationCanceledException)
        {
            // Stopped before it was ready.
            return Done;
        }
    }

    private static async Task ServeAsync(BrokerSettings settings, bool json)
    {
        using var log = new ConsoleLog(Console.Error, settings.LogLevel, TimeProvider.System);
        using var stop = new CancellationTokenSource();
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, signal => Stop(signal, stop));
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal => Stop(signal, stop));
        // The terminal was closed.
        using var hangup = PosixSignalRegistration.Create(PosixSignal.SIGHUP, signal => Stop(signal, stop));

        await using var server = await BrokerServer.StartAsync(settings, log, cancellationToken: stop.Token);
        var ready = new ReadyLine(server.Address, Path.GetFullPath(settings.DataDirectory), server.Flavour, Environment.ProcessId,
            SinceProcessStart(), settings.BrokerId)
        {
            Kafka = server.KafkaAddress,
            Amqp = server.AmqpAddress,
            AmqpManagement = server.AmqpManagementAddress,
            ClusterId = server.Member?.ClusterId,
            Orleans = server.Member?.Orleans,
            Gateway = server.Member?.Gateway,
        };
        Console.Out.WriteLine(ready.ToString(json));
        await Task.Delay(Timeout.Infinite, stop.Token).ContinueWith(static _ => { }, TaskScheduler.Default);
        log.CreateLogger("broker").Stopping();
    }

    private static void Stop(PosixSignalContext signal, CancellationTokenSource stop)
    {
        signal.Cancel = true;
        if (stop.IsCancellationRequested)
            Environment.Exit(Interrupted);
        stop.Cancel();
    }

    private static long SinceProcessStart()
    {
        using var process = Process.GetCurrentProcess();
        return (long)(DateTime.UtcNow - process.StartTime.ToUniversalTime()).TotalMilliseconds;
    }

    private static bool IsPortTaken(Exception? fault) => fault switch
    {
        null => false,
        SocketException { SocketErrorCode: SocketError.AddressAlreadyInUse } => true,
        AggregateException many => many.InnerExceptions.Any(IsPortTaken),
        _ => IsPortTaken(fault.InnerException),
    };

    private static int Fail(Exception e, int code)
    {
        Console.Error.WriteLine($"orleansmq: {e.Message.ReplaceLineEndings(" ")}");
        return code;
    }
}
