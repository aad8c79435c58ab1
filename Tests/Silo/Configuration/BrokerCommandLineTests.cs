using OrleansMq.Silo.Configuration;

namespace OrleansMq.Tests.Silo.Configuration;

public sealed class BrokerCommandLineTests
{
    [Fact]
    public void Flags_are_found_by_key()
    {
        var invocation = new BrokerCommandLine().Parse(["--data", "/d", "--broker-id", "7", "--config=/c", "--json"]);
        Assert.Equal(new Dictionary<string, string> { ["data"] = "/d", ["brokerId"] = "7" }, invocation.Flags);
        Assert.Equal("/c", invocation.ConfigFile);
        Assert.True(invocation.Json);
        Assert.Null(invocation.Answer);
    }

    [Fact]
    public void Standalone_is_short_for_the_flavour() =>
        Assert.Equal("standalone", new BrokerCommandLine().Parse(["--standalone"]).Flags["flavour"]);

    [Theory]
    [InlineData("--bogus")]
    [InlineData("--data")]
    [InlineData("stray")]
    [InlineData("--http", "1", "--http", "2")]
    [InlineData("--standalone", "--flavour", "cluster")]
    public void Invalid_usage_is_refused_in_one_line(params string[] args)
    {
        var refused = Assert.Throws<SettingsException>(() => new BrokerCommandLine().Parse(args));
        Assert.DoesNotContain('\n', refused.Message);
    }

    [Fact]
    public void Help_lists_every_setting_instead_of_running()
    {
        var help = Answer("--help");
        Assert.All(Settings.All, setting => Assert.Contains(setting.Flag, help, StringComparison.Ordinal));
    }

    [Fact]
    public void Version_is_printed_instead_of_running() =>
        Assert.Matches(@"^\d+\.\d+\.\d+", Answer("--version"));

    private static string Answer(string flag)
    {
        using var output = new StringWriter();
        Assert.Equal(0, new BrokerCommandLine().Parse([flag]).Answer!(output));
        return output.ToString();
    }
}
