using OrleansMq.Gateways.Browsers;

namespace OrleansMq.Tests.Silo.Http;

public sealed class HostNamesTests
{
    [Theory]
    [InlineData("broker-1", true)]
    [InlineData("BROKER-1.", true)]
    [InlineData("a.example.com", true)]
    [InlineData("a.b.example.com", true)]
    [InlineData("example.com", false)]
    [InlineData("evilexample.com", false)]
    [InlineData(".example.com", false)]
    [InlineData("broker-1.evil.example", false)]
    [InlineData("", true)]
    [InlineData("10.1.2.3", true)]
    [InlineData("[fe80::1]", true)]
    public void Host_is_known_by_its_name_or_its_domain(string host, bool isKnown) =>
        Assert.Equal(isKnown, new HostNames(["broker-1", "*.example.com"]).Include(host));

    [Theory]
    [InlineData("http://broker-2.example:8080", "BROKER-2.example", true)]
    [InlineData("broker-2.example:9092", "broker-2.example", true)]
    [InlineData("broker-2.example", "broker-2.example", true)]
    [InlineData("broker-2.example:9092", "evil.example", false)]
    public void Advertised_host_is_known_once_it_is_advertised(string address, string host, bool isKnown)
    {
        string[] advertised = [];
        var names = new HostNames([], () => advertised.Select(HostNames.HostOf));
        Assert.False(names.Include(host));
        advertised = [address];
        Assert.Equal(isKnown, names.Include(host));
    }

    [Fact]
    public void Star_allows_every_host() => Assert.True(new HostNames(["*"]).Include("evil.example"));
}
