namespace OrleansMq.Tests.Process.Launcher;

/// <summary>The decisions of <c>./omq</c>: which flavour, when to build, when to give up.</summary>
public sealed class LauncherTests : IDisposable
{
    private const string OrleansIsMissing = """
        case "$*" in
            --list-sdks) echo '10.0.100 [/sdk]' ;;
            restore*-p:Orleans=true*)
                echo "$root/Silo/Silo.csproj : error NU1101: Unable to find package Microsoft.Orleans.Server." \
                    "No packages exist with this id in source(s): feed"
                echo "$root/Silo/Silo.csproj : error NU1102: Unable to find package System.IO.Hashing with version (>= 10.0.12)"
                echo "$root/Silo/Silo.csproj : error NU1605: Warning As Error: Detected package downgrade:" \
                    "Microsoft.Extensions.Options from 10.0.11 to 10.0.5."
                exit 1 ;;
            restore*|build*) ;;
            *) echo "ran $(basename "$1") ${*:2}" ;;
        esac
        """;

    private readonly FakeRepository _repository = new();

    public void Dispose() => _repository.Dispose();

    [Fact]
    public async Task First_use_builds_with_orleans_and_the_second_builds_nothing()
    {
        var first = (await _repository.OmqAsync("topic list")).Expect(0);
        var second = (await _repository.OmqAsync("topic list")).Expect(0);

        Assert.Equal("ran omq.dll topic list\n", first.Text);
        Assert.Equal("", first.Error);
        Assert.Equal(first.Text, second.Text);
        Assert.Equal("cluster\n", await File.ReadAllTextAsync(_repository["artifacts/flavour"]));
        Assert.Equal(2, _repository.Count("build")); // the broker and the client
        Assert.Equal(1, _repository.Count("restore"));
    }

    [Fact]
    public async Task Program_without_a_standard_input_gets_an_empty_one()
    {
        var outcome = (await _repository.OmqAsync("produce orders", closesInput: true)).Expect(0);

        Assert.Equal("ran omq.dll produce orders\n", outcome.Text);
    }

    [Fact]
    public async Task Up_runs_the_broker_with_its_arguments()
    {
        var outcome = (await _repository.OmqAsync("up --http 0")).Expect(0);

        Assert.Equal("ran OrleansMq.Silo.dll --http 0\n", outcome.Text);
    }

    [Theory]
    [InlineData("Client/New.cs")]
    [InlineData("Silo/deep/New.cs")]
    [InlineData("Directory.Build.props")]
    public async Task Changed_source_triggers_a_build(string path)
    {
        (await _repository.OmqAsync("topic list")).Expect(0);
        Directory.CreateDirectory(Path.GetDirectoryName(_repository[path])!);

        await File.AppendAllTextAsync(_repository[path], "\n");
        (await _repository.OmqAsync("topic list")).Expect(0);

        Assert.Equal(4, _repository.Count("build"));
    }

    [Fact]
    public async Task Deleted_source_triggers_a_build()
    {
        await File.WriteAllTextAsync(_repository["Client/Old.cs"], "");
        (await _repository.OmqAsync("topic list")).Expect(0);

        File.Delete(_repository["Client/Old.cs"]);
        (await _repository.OmqAsync("topic list")).Expect(0);

        Assert.Equal(4, _repository.Count("build"));
    }

    [Fact]
    public async Task Missing_orleans_packages_are_reported_in_one_line_and_standalone_is_built()
    {
        _repository.Dotnet(OrleansIsMissing);

        var first = (await _repository.OmqAsync("topic list")).Expect(0);
        var second = (await _repository.OmqAsync("topic list")).Expect(0);

        Assert.Equal("ran omq.dll topic list\n", first.Text);
        var line = Assert.Single(first.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Contains("(Microsoft.Orleans.Server, System.IO.Hashing)", line, StringComparison.Ordinal);
        Assert.Contains("STANDALONE", line, StringComparison.Ordinal);
        Assert.Equal("", second.Error);
        Assert.Equal("standalone\n", await File.ReadAllTextAsync(_repository["artifacts/flavour"]));
        Assert.All(_repository.Calls.Where(call => call.StartsWith("build", StringComparison.Ordinal)),
            call => Assert.Contains("-p:Orleans=false", call, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Forced_orleans_does_not_fall_back()
    {
        _repository.Dotnet(OrleansIsMissing);

        var outcome = (await _repository.OmqAsync("topic list", orleans: "true")).Expect(1);

        Assert.Contains("NU1101", outcome.Error, StringComparison.Ordinal);
        Assert.False(File.Exists(_repository["artifacts/flavour"]));
    }

    [Fact]
    public async Task Forced_standalone_neither_tries_orleans_nor_is_remembered()
    {
        (await _repository.OmqAsync("topic list", orleans: "false")).Expect(0);

        Assert.DoesNotContain(_repository.Calls, call => call.Contains("-p:Orleans=true", StringComparison.Ordinal));
        Assert.False(File.Exists(_repository["artifacts/flavour"]));
    }

    [Theory]
    [InlineData("error NU1301: Unable to load the service index for source https://feed/index.json.")]
    [InlineData("error NU1101: Unable to find package Spectre.Console. No packages exist with this id in source(s): feed")]
    public async Task Other_restore_failure_is_an_error_and_no_fallback(string error)
    {
        _repository.Dotnet($$"""
            case "$*" in
                --list-sdks) echo '10.0.100 [/sdk]' ;;
                restore*) echo "$root/Silo/Silo.csproj : {{error}}"; exit 1 ;;
                *) echo "ran $(basename "$1") ${*:2}" ;;
            esac
            """);

        var outcome = (await _repository.OmqAsync("topic list")).Expect(1);

        Assert.Contains(error, outcome.Error, StringComparison.Ordinal);
        Assert.False(File.Exists(_repository["artifacts/flavour"]));
        Assert.Equal(0, _repository.Count("build"));
    }

    [Fact]
    public async Task Failed_build_shows_the_compiler_errors_and_is_retried()
    {
        _repository.Dotnet("""
            case "$*" in
                --list-sdks) echo '10.0.100 [/sdk]' ;;
                restore*) ;;
                build*) echo "$root/Client/A.cs(1,2): error CS1002: ; expected [$root/Client/A.csproj]"; exit 1 ;;
            esac
            """);

        var first = (await _repository.OmqAsync("topic list")).Expect(1);
        (await _repository.OmqAsync("topic list")).Expect(1);

        Assert.Contains("Client/A.cs(1,2): error CS1002: ; expected", first.Error, StringComparison.Ordinal);
        Assert.Equal(2, _repository.Count("build"));
    }

    [Fact]
    public async Task Tests_that_fail_to_build_count_as_a_failure()
    {
        _repository.Dotnet("""
            case "$*" in
                --list-sdks) echo '10.0.100 [/sdk]' ;;
                build*) echo "$root/Tests/A.cs(1,2): error CS1002: ; expected [$root/Tests/A.csproj]"; exit 1 ;;
            esac
            """);

        var outcome = (await _repository.OmqAsync("test")).Expect(1);

        Assert.Equal("0 passed, 1 failed, 0 skipped", outcome.Lines[^1]);
        Assert.Contains("CS1002", outcome.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("echo '8.0.404 [/sdk]'")]
    [InlineData("true")]
    public async Task Missing_sdk_is_reported_in_one_line(string listSdks)
    {
        _repository.Dotnet(listSdks);

        var outcome = (await _repository.OmqAsync("topic list")).Expect(1);

        Assert.Contains(".NET 10 SDK", Assert.Single(outcome.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries)),
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Unknown_flavour_is_invalid_usage()
    {
        var outcome = (await _repository.OmqAsync("topic list", orleans: "perhaps")).Expect(2);

        Assert.Contains("OMQ_ORLEANS", outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Concurrent_launchers_build_once()
    {
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => _repository.OmqAsync("topic list")));

        Assert.All(outcomes, outcome => Assert.Equal("ran omq.dll topic list\n", outcome.Expect(0).Text));
        Assert.Equal(2, _repository.Count("build"));
    }
}
