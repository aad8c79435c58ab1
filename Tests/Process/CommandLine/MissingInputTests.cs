using OrleansMq.Cli.Records;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.CommandLine;

/// <summary>The command line without the launcher, as the .NET tool runs it.</summary>
public sealed class MissingInputTests
{
    [SkippableFact]
    public async Task Producer_that_is_started_without_a_standard_input_sends_nothing_and_ends()
    {
        Skip.If(OperatingSystem.IsWindows(), "it needs a shell that closes standard input");
        using var directory = new TemporaryDirectory();
        await using var broker = await RunningBroker.UpAsync(directory["data"]);
        (await broker.OmqAsync(["topic", "create", "orders"])).Expect(0);
        await using var program = new RunningProgram("bash", ["-c", "exec \"$0\" exec \"$1\" produce orders --server \"$2\" <&-",
            Environment.ProcessPath!, typeof(LineReader).Assembly.Location, broker.Url]);
        (await program.ExitAsync()).Expect(0);
    }

    [SkippableFact]
    public async Task Offsets_that_are_read_without_a_standard_input_are_none()
    {
        Skip.If(OperatingSystem.IsWindows(), "it needs a shell that closes standard input");
        await using var program = new RunningProgram("bash", ["-c", "exec \"$0\" exec \"$1\" group reset billing --from-file - <&-",
            Environment.ProcessPath!, typeof(LineReader).Assembly.Location]);
        Assert.Contains("--from-file has no lines", (await program.ExitAsync()).Expect(2).Error, StringComparison.Ordinal);
    }
}
