using System.Text.RegularExpressions;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.Launcher;

/// <summary>How <c>./omq test</c> judges the results of test projects: a run passes only if everything is accounted for.</summary>
public sealed class TestRunnerTests : IDisposable
{
    private readonly FakeRepository _repository = new();

    public TestRunnerTests() => Results(Passed("Suite.A"), Passed("Suite.B(x: &quot;&lt;&quot;)"));

    public void Dispose() => _repository.Dispose();

    [Fact]
    public async Task Passed_tests_are_counted_in_the_last_line()
    {
        var outcome = (await RunAsync("Engine")).Expect(0);

        Assert.Equal("2 passed, 0 failed, 0 skipped", outcome.Lines[^1]);
        Assert.Contains("Run: Engine", outcome.Lines);
        Assert.Contains("  suite Client: not asked for", outcome.Lines);
    }

    [Fact]
    public async Task Failed_test_fails_the_run_and_is_named_with_its_message()
    {
        Results(Passed("Suite.A"), Failed("Suite.Broken", "Expected 1, &amp; got 2"));

        var outcome = (await RunAsync("Engine")).Expect(1);

        Assert.Equal("1 passed, 1 failed, 0 skipped", outcome.Lines[^1]);
        Assert.Contains("Suite.Broken", outcome.Text, StringComparison.Ordinal);
        Assert.Contains("Expected 1, & got 2", outcome.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Unexpected_skip_fails_the_run()
    {
        Results(Passed("Suite.A"), Skipped("Suite.Left", "no broker here"));

        var outcome = (await RunAsync("Engine")).Expect(1);

        Assert.Contains("Suite.Left was skipped, and Tests/expected-skips.txt does not name it", outcome.Text, StringComparison.Ordinal);
        Assert.Equal("1 passed, 0 failed, 1 skipped", outcome.Lines[^1]);
    }

    [Fact]
    public async Task Expected_skip_is_named_with_its_reason_and_passes()
    {
        Results(Passed("Suite.A"), Skipped("Suite.Left(x: 1)", "no broker here"));
        await File.WriteAllTextAsync(_repository["Tests/expected-skips.txt"],
            "# comment\nSuite.Left # needs a broker of another project\n");

        var outcome = (await RunAsync("Engine")).Expect(0);

        Assert.Contains("  skipped: Suite.Left(x: 1) (no broker here)", outcome.Lines);
        Assert.Equal("1 passed, 0 failed, 1 skipped", outcome.Lines[^1]);
    }

    [Fact]
    public async Task Suite_without_tests_fails_the_run()
    {
        Results();

        var outcome = (await RunAsync("Engine")).Expect(1);

        Assert.Contains("Engine ran no test at all", outcome.Text, StringComparison.Ordinal);
        Assert.Equal("0 passed, 0 failed, 0 skipped", outcome.Lines[^1]);
    }

    [Fact]
    public async Task Suite_without_results_fails_the_run()
    {
        _repository.Dotnet("echo 'the host crashed'; exit 134");

        var outcome = (await RunAsync("Engine")).Expect(1);

        Assert.Contains("Engine ended with code 134 and left no results", outcome.Text, StringComparison.Ordinal);
        Assert.Contains("the host crashed", outcome.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Suite_over_its_budget_is_stopped_and_fails_the_run()
    {
        var runner = await File.ReadAllTextAsync(_repository["Tests/run"]);
        var budget = new Regex(@"(?<=^ *\[Engine\]=)\d+", RegexOptions.Multiline);
        Assert.Single(budget.Matches(runner));
        await File.WriteAllTextAsync(_repository["Tests/run"], budget.Replace(runner, "15"));
        _repository.Dotnet("[[ $1 != test ]] || { echo 'still at it'; sleep 600; }");

        var outcome = (await RunAsync("Engine")).Expect(1);

        Assert.Contains("Engine was ended after its budget of 15 s", outcome.Text, StringComparison.Ordinal);
        Assert.Contains("still at it", outcome.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Test_project_without_a_budget_fails_the_run()
    {
        Directory.CreateDirectory(_repository["Tests/Forgotten"]);
        await File.WriteAllTextAsync(_repository["Tests/Forgotten/Forgotten.csproj"], "");

        var outcome = (await RunAsync("Engine")).Expect(1);

        Assert.Contains("Tests/Forgotten has no budget", outcome.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Orleans_suites_are_named_as_not_run_without_orleans()
    {
        await File.WriteAllTextAsync(_repository["Tests/expected-not-run-without-orleans.txt"], "OrleansMq.Tests.Cluster.A_test\n");

        var outcome = (await RunAsync("Engine", "Cluster")).Expect(0);

        Assert.Contains("  OrleansMq.Tests.Cluster.A_test: needs the Microsoft.Orleans packages", outcome.Lines);
    }

    [Fact]
    public async Task Orleans_part_of_a_suite_is_named_as_not_run_and_the_rest_runs()
    {
        await File.WriteAllTextAsync(_repository["Tests/expected-not-run-without-orleans.txt"],
            "OrleansMq.Tests.Packages.Silos.A_test\nOrleansMq.Tests.Cluster.Another\n");

        var outcome = (await RunAsync("Packages")).Expect(0);

        Assert.Contains("Run: Packages", outcome.Lines);
        Assert.Contains("  OrleansMq.Tests.Packages.Silos.A_test: needs the Microsoft.Orleans packages", outcome.Lines);
        Assert.DoesNotContain("Another", outcome.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("OrleansMq.Tests.Packages.Silos.A_test\n", 0)]
    [InlineData("", 1)]
    public async Task Not_run_list_of_a_suite_part_is_checked_with_orleans(string pinned, int exitCode)
    {
        DiscoveredAndResults("OrleansMq.Tests.Packages.Silos.A_test\nOrleansMq.Tests.Packages.Tools.Another",
            Passed("OrleansMq.Tests.Packages.Silos.A_test"));
        await File.WriteAllTextAsync(_repository["Tests/expected-not-run-without-orleans.txt"], pinned);

        var outcome = (await RunAsync("cluster", ["Packages"])).Expect(exitCode);

        Assert.Equal(exitCode != 0, outcome.Text.Contains("expected-not-run-without-orleans.txt differs", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Run_of_no_suite_fails()
    {
        var outcome = (await RunAsync("Cluster")).Expect(1);

        Assert.Contains("no suite was run", outcome.Text, StringComparison.Ordinal);
        Assert.Equal("0 passed, 0 failed, 0 skipped", outcome.Lines[^1]);
    }

    [Theory]
    [InlineData("OrleansMq.Tests.Cluster.A_test\n", 0)]
    [InlineData("OrleansMq.Tests.Cluster.Gone\n", 1)]
    [InlineData("", 1)]
    public async Task Not_run_list_is_checked_with_orleans(string pinned, int exitCode)
    {
        DiscoveredAndResults("OrleansMq.Tests.Cluster.A_test", Passed("OrleansMq.Tests.Cluster.A_test"));
        await File.WriteAllTextAsync(_repository["Tests/expected-not-run-without-orleans.txt"], pinned);

        var outcome = (await RunAsync("cluster", ["Cluster"])).Expect(exitCode);

        Assert.Equal(exitCode != 0, outcome.Text.Contains("expected-not-run-without-orleans.txt differs", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("Enigne")]
    [InlineData("--lnog")]
    public async Task Unknown_suite_or_option_is_invalid_usage(string argument)
    {
        var outcome = (await RunAsync(argument)).Expect(2);

        Assert.Contains(argument, outcome.Error, StringComparison.Ordinal);
    }

    private Task<Outcome> RunAsync(params string[] arguments) => RunAsync("standalone", arguments);

    private async Task<Outcome> RunAsync(string flavour, string[] arguments)
    {
        foreach (var suite in (string[])["Engine", "Packages", "Cluster"])
        {
            var dll = _repository[$"artifacts/{flavour}/bin/OrleansMq.Tests.{suite}/release/OrleansMq.Tests.{suite}.dll"];
            Directory.CreateDirectory(Path.GetDirectoryName(dll)!);
            await File.WriteAllTextAsync(dll, "");
        }
        await using var program = new RunningProgram(_repository["Tests/run"], [_repository["bin/dotnet"], flavour, .. arguments]);
        return await program.ExitAsync();
    }

    private void Results(params string[] results) => DiscoveredAndResults("", results);

    /// <summary>Writes a <c>dotnet</c> whose test runs leave these results, and whose discovery finds that test.</summary>
    private void DiscoveredAndResults(string discovered, params string[] results)
    {
        File.WriteAllText(_repository["results"],
            $"""<?xml version="1.0"?><TestRun><Results>{string.Concat(results)}</Results></TestRun>""");
        _repository.Dotnet($$"""
            for argument in "$@"; do
                case $argument in
                    --ListTestsTargetPath:*) echo '{{discovered}}' >"${argument#*:}"; [[ $* != *Category=Long* ]] || : >"${argument#*:}" ;;
                    trx*) cp "$root/results" "$root/artifacts/test-results/${argument##*=}" ;;
                esac
            done
            """);
    }

    private static string Passed(string name) => $"""<UnitTestResult testName="{name}" duration="0" outcome="Passed" />""";

    private static string Skipped(string name, string reason) =>
        $"""<UnitTestResult testName="{name}" outcome="NotExecuted">"""
        + $"""<Output><ErrorInfo><Message>{reason}</Message></ErrorInfo></Output></UnitTestResult>""";

    private static string Failed(string name, string message) =>
        $"""<UnitTestResult outcome="Failed" testName="{name}">"""
        + $"""<Output><ErrorInfo><Message>{message}</Message></ErrorInfo></Output></UnitTestResult>""";
}
