using System.CommandLine;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;
using System.Runtime.InteropServices;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;
using OrleansMq.Records;

namespace OrleansMq.Cli;

/// <summary>The entry point: parses, runs one command, and turns a failure into one line and an exit code.</summary>
internal static class Program
{
    // How long an interrupted command (Ctrl-C) may take to report what it has done. "cluster up" needs most: 15 s to hand over, 20 s for a
    // silo that hangs, and its database.
    private static readonly TimeSpan TerminationTimeout = TimeSpan.FromSeconds(60);

    private static Task<int> Main(string[] args) => RunAsync(args, Console.Out, Console.Error);

    /// <summary>Runs one command.</summary>
    /// <param name="args">Its words.</param>
    /// <param name="output">Receives help.</param>
    /// <param name="error">Receives the line of a failure.</param>
    internal static async Task<int> RunAsync(string[] args, TextWriter output, TextWriter error)
    {
        // Without response files: an argument may begin with @.
        var parsed = OmqCommandLine.Create().Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
        if (parsed.Action is not HelpWithExamples && MistypedOption.In(parsed) is { } mistyped)
        {
            var command = CommandPath(parsed);
            error.WriteLine($"omq: '{mistyped}' is no option of '{command}'. A value that begins with '-' comes after '--', behind the "
                + $"options: {command} -- {mistyped}");
            error.WriteLine($"Usage and examples: {command} --help");
            return (int)ExitCode.WrongUsage;
        }
        return (int)(parsed.Action is null or ParseErrorAction ? RefuseUsage(parsed, error)
            : await RunAsync(parsed, output, error).ConfigureAwait(false));
    }

    private static async Task<ExitCode> RunAsync(ParseResult parsed, TextWriter output, TextWriter error)
    {
        try
        {
            var configuration = new InvocationConfiguration { EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = TerminationTimeout, Output = output, Error = error };
            using var stop = new CancellationTokenSource();
            // The terminal was closed: end as at Ctrl-C, which the parser handles.
            using var hangup = PosixSignalRegistration.Create(PosixSignal.SIGHUP, signal =>
            {
                signal.Cancel = true;
                stop.Cancel();
            });
            return (ExitCode)await parsed.InvokeAsync(configuration, stop.Token).ConfigureAwait(false);
        }
        catch (BrokenPipeException)
        {
            return ExitCode.Done;
        }
        catch (CommandFailedException e)
        {
            return Fail(error, e.ExitCode, e.Message);
        }
        catch (BrokerUnreachableException e)
        {
            return Fail(error, ExitCode.Unreachable, e.Message);
        }
        catch (BrokerException e)
        {
            return Fail(error, ExitCode.Refused, $"{e.Message} ({e.Code})");
        }
        catch (Exception e)
            when (e is ProduceException or ConsumeException or CodecUnavailableException or IOException or UnauthorizedAccessException)
        {
            // The message tells what to do. Any other exception is a bug of this program, and shows its trace.
            return Fail(error, ExitCode.Refused, e.Message);
        }
        catch (OperationCanceledException)
        {
            return Fail(error, ExitCode.Refused, "Interrupted.");
        }
    }

    private static ExitCode RefuseUsage(ParseResult parsed, TextWriter error)
    {
        foreach (var fault in parsed.Errors)
            error.WriteLine("omq: " + WithoutTypes(fault.Message));
        error.WriteLine($"Usage and examples: {CommandPath(parsed)} --help");
        return ExitCode.WrongUsage;
    }

    // The parser names a type of .NET: as expected type 'System.Nullable`1[System.Int32]'.
    private static string WithoutTypes(string message)
    {
        const string type = " as expected type '";
        var start = message.IndexOf(type, StringComparison.Ordinal);
        if (start < 0)
            return message;
        var name = message[(start + type.Length)..];
        return message[..start] + (name.Contains("Int", StringComparison.Ordinal) ? ": it is not a whole number of that size." : ".");
    }

    private static string CommandPath(ParseResult parsed)
    {
        var names = new Stack<string>();
        for (var command = parsed.CommandResult; command is not null; command = command.Parent as CommandResult)
            names.Push(command.Parent is null ? "omq" : command.Command.Name);
        return string.Join(' ', names);
    }

    private static ExitCode Fail(TextWriter error, ExitCode exitCode, string message)
    {
        error.WriteLine("omq: " + message);
        return exitCode;
    }
}
