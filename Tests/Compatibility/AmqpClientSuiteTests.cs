using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace OrleansMq.Tests.Compatibility;

/// <summary>The own tests of RabbitMQ's clients against a broker, by the command <c>Amqp/run</c>, which lists its requirements. The lists
/// beside it say which tests must pass, and which are excluded and why.</summary>
public sealed class AmqpClientSuiteTests
{
    private const int Missing = 77;

    // The command ends a suite that hangs before that.
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(25);

    [SkippableTheory, Trait("Category", "Long")]
    [InlineData("amqplib", "standalone")]
    [InlineData("pika", "standalone")]
    [InlineData("dotnet", "standalone")]
    public async Task All_tests_of_the_allow_list_pass(string suite, string flavour)
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "The command needs Linux.");
        var start = new ProcessStartInfo(Path.Combine(Folder(), "run"), [suite, "--flavour", flavour])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        using var patience = new CancellationTokenSource(Longest);
        try
        {
            var (output, error) = (process.StandardOutput.ReadToEndAsync(patience.Token),
                process.StandardError.ReadToEndAsync(patience.Token));
            await process.WaitForExitAsync(patience.Token);
            Skip.If(process.ExitCode == Missing, await error);
            Assert.True(process.ExitCode == 0, $"{await output}\n{await error}");
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"The tests of {suite} did not end within {Longest}.");
        }
    }

    private static string Folder([CallerFilePath] string path = "") => Path.Combine(Path.GetDirectoryName(path)!, "Amqp");
}
