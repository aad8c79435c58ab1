using OrleansMq.Security;

namespace OrleansMq.Tests.Engine.Security;

/// <summary>One address does not take the places of all others.</summary>
public sealed class AddressPlacesTests
{
    [Fact]
    public void Address_has_a_quarter_of_the_places_and_loopback_all()
    {
        var places = new AddressPlaces(8);
        Assert.True(TryEnter("10.0.0.1"));
        Assert.True(TryEnter("10.0.0.1"));
        Assert.False(TryEnter("10.0.0.1"));
        Assert.True(TryEnter("10.0.0.2"));
        for (var i = 0; i < 5; i++)
            Assert.True(TryEnter("127.0.0.1"));
        Assert.False(TryEnter("127.0.0.1"));
        Assert.False(TryEnter("10.0.0.3"));
        places.Leave("127.0.0.1");
        Assert.False(TryEnter("10.0.0.1"));
        places.Leave("10.0.0.1");
        Assert.True(TryEnter("10.0.0.1"));
        Assert.True(TryEnter("10.0.0.3"));
        Assert.False(TryEnter("10.0.0.4"));
        Assert.Equal(8, places.Count);

        bool TryEnter(string address) => places.TryEnter(address, places.MostOf(address));
    }
}
