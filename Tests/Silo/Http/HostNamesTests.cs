using OrleansMq.Gateways.Http;

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

    [Fact]
    public void Star_allows_every_host() => Assert.True(new HostNames(["*"]).Include("evil.example"));
}
