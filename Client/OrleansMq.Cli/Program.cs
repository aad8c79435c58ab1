using System.CommandLine;
using System.CommandLine.Invocation;
using OrleansMq;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client.Http;

return (int)await RunAsync(args).ConfigureAwait(false);

static async Task<ExitCode> RunAsync(string[] args)
{
    // Without response files: an argument that begins with @ is an argument.
    var parsed = OmqCommandLine.Create().Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
    if (parsed.Action is null or ParseErrorAction)
        return RefuseUsage(parsed);
    try
    {
        // A command that is asked to end (Ctrl-C) gets some time to say what it has done.
        var configuration = new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = TimeSpan.FromSeconds(30) };
        return (ExitCode)await parsed.InvokeAsync(configuration).ConfigureAwait(false);
    }
    catch (BrokenPipeException)
    {
        return ExitCode.Done;
    }
    catch (CommandFailedException e)
    {
        return Fail(e.ExitCode, e.Message);
    }
    catch (BrokerUnreachableException e)
    {
        return Fail(ExitCode.Unreachable, e.Message);
    }
    catch (BrokerException e)
    {
        return Fail(ExitCode.Refused, $"{e.Message} ({e.Code})");
    }
}

static ExitCode RefuseUsage(ParseResult parsed)
{
    foreach (var error in parsed.Errors)
        Console.Error.WriteLine("omq: " + error.Message);
    var command = string.Join(" ", Path(parsed));
    Console.Error.WriteLine($"Usage and examples: {command} --help");
    return ExitCode.WrongUsage;
}

static IEnumerable<string> Path(ParseResult parsed)
{
    var names = new Stack<string>();
    for (System.CommandLine.Parsing.SymbolResult? result = parsed.CommandResult; result is System.CommandLine.Parsing.CommandResult command; result = command.Parent)
        names.Push(command.Parent is null ? "omq" : command.Command.Name);
    return names;
}

static ExitCode Fail(ExitCode exitCode, string message)
{
    Console.Error.WriteLine("omq: " + message);
    return exitCode;
}
