using OrleansMq.Security;

namespace OrleansMq.Tests.Engine.Security;

/// <summary>One address does not take the places of all logins.</summary>
public sealed class WaitingLoginsTests
{
    [Fact]
    public void Address_has_a_quarter_of_the_places_and_loopback_all()
    {
        var logins = new WaitingLogins(8);
        Assert.True(logins.TryEnter("10.0.0.1"));
        Assert.True(logins.TryEnter("10.0.0.1"));
        Assert.False(logins.TryEnter("10.0.0.1"));
        Assert.True(logins.TryEnter("10.0.0.2"));
        for (var i = 0; i < 5; i++)
            Assert.True(logins.TryEnter("127.0.0.1"));
        Assert.False(logins.TryEnter("127.0.0.1"));
        Assert.False(logins.TryEnter("10.0.0.3"));
        logins.Leave("127.0.0.1");
        Assert.False(logins.TryEnter("10.0.0.1"));
        logins.Leave("10.0.0.1");
        Assert.True(logins.TryEnter("10.0.0.1"));
        Assert.True(logins.TryEnter("10.0.0.3"));
        Assert.False(logins.TryEnter("10.0.0.4"));
    }
}
