using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Queues;

namespace OrleansMq.Tests.Amqp.Channels;

public sealed class ConsumerPlacesTests
{
    [Fact]
    public void Channels_that_take_at_once_get_all_places_and_no_more()
    {
        var places = new ConsumerPlaces(100, new NameCounts(), "ann", 1000);
        Assert.Equal(100, Take(places));
        Assert.Equal(0, Take(places));
        places.Give(40);
        places.Give(1);
        Assert.Equal(41, Take(places));
    }

    [Fact]
    public void Connections_of_a_user_share_its_places()
    {
        var users = new NameCounts();
        var (first, second) = (new ConsumerPlaces(100, users, "ann", 150), new ConsumerPlaces(100, users, "ann", 150));
        Assert.Equal(100, Take(first));
        Assert.Equal("reached maximum (100) of consumers per connection", first.TryTake());
        Assert.Equal(50, Take(second));
        Assert.Equal("reached maximum (150) of consumers per user", second.TryTake());
        Assert.Equal(100, Take(new ConsumerPlaces(100, users, "bob", 150)));
        first.Give(100);
        first.Give(0);
        Assert.Equal(50, Take(second));
        Assert.Equal(50, Take(first));
        first.Give(50);
        second.Give(100);
        Assert.Equal(100, Take(first));
    }

    private static int Take(ConsumerPlaces places)
    {
        var taken = 0;
        Parallel.For(0, 1000, _ =>
        {
            if (places.TryTake() is null)
                Interlocked.Increment(ref taken);
        });
        return taken;
    }
}
