using System.Globalization;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.Lifecycle;

/// <summary>Start, stop and refusal of the real broker.</summary>
public sealed class BrokerLifecycleTests : IDisposable
{
    private const int Hangup = 1;
    private const int Interrupt = 2;
    private const int Terminate = 15;

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Up_reports_when_and_where_it_is_ready()
    {
        await using var broker = await RunningBroker.UpAsync(_directory["data"]);

        Assert.Equal(_directory["data"], broker.Field("data"));
        Assert.Equal(broker.Program.Id, int.Parse(broker.Field("pid"), CultureInfo.InvariantCulture));
        Assert.Contains(broker.Field("flavour"), new[] { "standalone", "cluster" });
        Assert.True(int.Parse(broker.Field("ms"), CultureInfo.InvariantCulture) > 0);
        using var http = new HttpClient();
        Assert.Equal("ok", (await http.GetStringAsync(broker.Url + "/healthz")).Trim());
    }

    [Theory]
    [InlineData(Hangup)]
    [InlineData(Interrupt)]
    [InlineData(Terminate)]
    public async Task Termination_signal_drains_and_exits_0(int signal)
    {
        await using var broker = await RunningBroker.UpAsync(_directory["data"]);
        (await broker.OmqAsync(["topic", "create", "orders"])).Expect(0);

        broker.Program.Signal(signal);

        (await broker.Program.ExitAsync()).Expect(0);
        Assert.True(File.Exists(Path.Combine(broker.DataDirectory, "clean-shutdown")), "a clean end leaves its marker");
    }

    [Fact]
    public async Task Second_broker_on_the_same_directory_is_refused_with_its_path()
    {
        await using var broker = await RunningBroker.UpAsync(_directory["data"]);

        var second = (await RunningProgram.OmqAsync(["up", "--data", broker.DataDirectory, "--http", "0"])).Expect(1);

        Assert.Contains(broker.DataDirectory, second.Error, StringComparison.Ordinal);
        (await broker.OmqAsync(["topic", "list"])).Expect(0);
    }

    [Fact]
    public async Task Port_in_use_is_refused_with_the_port()
    {
        await using var broker = await RunningBroker.UpAsync(_directory["data"]);

        var second =
            (await RunningProgram.OmqAsync(["up", "--data", _directory["other"], "--http",
                broker.Port.ToString(CultureInfo.InvariantCulture)])).Expect(4);

        Assert.Contains(broker.Port.ToString(CultureInfo.InvariantCulture), second.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--http", "nowhere")]
    [InlineData("--flush", "sometimes")]
    [InlineData("--no-such-flag", "1")]
    public async Task Invalid_arguments_exit_2_and_name_the_argument(string flag, string value)
    {
        var outcome = (await RunningProgram.OmqAsync(["up", "--data", _directory["data"], flag, value])).Expect(2);

        Assert.Contains(flag, outcome.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_directory["data"]), "a refused start writes nothing");
    }

    [Fact]
    public async Task Unwritable_directory_is_refused_with_its_path()
    {
        var path = ReadOnlyPath();

        var outcome = (await RunningProgram.OmqAsync(["up", "--data", path, "--http", "0"])).Expect(1);

        Assert.Contains(path, outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Directory_of_a_newer_format_is_refused_and_unchanged()
    {
        await using (var broker = await RunningBroker.UpAsync(_directory["data"]))
        {
            broker.Program.Signal(Terminate);
            await broker.Program.ExitAsync();
        }
        var meta = Path.Combine(_directory["data"], "meta.json");
        var newer = System.Text.RegularExpressions.Regex.Replace(await File.ReadAllTextAsync(meta), "(\"formatVersion\"\\s*:\\s*)\\d+",
            "${1}999");
        Assert.Contains("999", newer, StringComparison.Ordinal);
        await File.WriteAllTextAsync(meta, newer);

        var outcome = (await RunningProgram.OmqAsync(["up", "--data", _directory["data"], "--http", "0"])).Expect(1);

        Assert.Contains(_directory["data"], outcome.Error, StringComparison.Ordinal);
        Assert.Contains("999", outcome.Error, StringComparison.Ordinal);
        Assert.Equal(newer, await File.ReadAllTextAsync(meta));
    }

    [Fact]
    public async Task Data_directory_is_relative_to_the_callers_working_directory()
    {
        await using var program = new RunningProgram(Repository.Launcher, ["up", "--http", "0"], _directory.FullName);

        await program.LineAsync(line => line.StartsWith("ready ", StringComparison.Ordinal));

        Assert.True(File.Exists(_directory["data/meta.json"]));
    }

    /// <summary>A path that even root cannot write to, since the kernel provides its files.</summary>
    private string ReadOnlyPath()
    {
        if (Environment.UserName == "root")
            return "/sys/kernel/omq";
        var locked = Directory.CreateDirectory(_directory["locked"]);
        if (!OperatingSystem.IsWindows())
            locked.UnixFileMode = UnixFileMode.UserRead | UnixFileMode.UserExecute;
        return Path.Combine(locked.FullName, "data");
    }
}
