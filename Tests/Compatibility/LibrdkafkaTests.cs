using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace OrleansMq.Tests.Compatibility;

/// <summary>librdkafka's own tests against a broker, by the command <c>Librdkafka/run</c>, which lists its requirements. The lists beside
/// it say which tests must pass, and which are excluded and why.</summary>
public sealed class LibrdkafkaTests
{
    private const int Missing = 77;

    // The tests mostly wait: some minutes a round, with one broker or cluster each.
    private static readonly TimeSpan WholeSuite = TimeSpan.FromMinutes(80);
    private static readonly TimeSpan OneBroker = TimeSpan.FromMinutes(60);
    private static readonly TimeSpan ShortOne = TimeSpan.FromMinutes(4);

    /// <summary>Runs the short list where the suite is already built, since the build takes longer than everything else here.</summary>
    [SkippableFact]
    public Task Sample_tests_of_each_kind_pass() => RunAsync(ShortOne, "--short", "--built");

    [SkippableFact, Trait("Category", "Long")]
    public Task All_tests_of_the_allow_list_pass() => RunAsync(WholeSuite);

    /// <summary>Runs the rounds of one broker again, with clients that authenticate over TLS.</summary>
    [SkippableFact, Trait("Category", "Long")]
    public Task Tests_of_one_broker_pass_over_sasl_and_tls() => RunAsync(OneBroker, "--sasl-ssl");

    private static async Task RunAsync(TimeSpan deadline, params string[] arguments)
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "librdkafka's tests are built for Linux here.");
        var start = new ProcessStartInfo(Path.Combine(Folder(), "run"), arguments) { RedirectStandardOutput = true,
            RedirectStandardError = true };
        using var process = Process.Start(start)!;
        using var patience = new CancellationTokenSource(deadline);
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
            throw new TimeoutException($"librdkafka's tests did not end within {deadline}.");
        }
    }

    private static string Folder([CallerFilePath] string path = "") => Path.Combine(Path.GetDirectoryName(path)!, "Librdkafka");
}
