using OrleansMq.Gateways.Amqp.Channels;

namespace OrleansMq.Tests.Amqp.Channels;

public sealed class ConsumerPlacesTests
{
    [Fact]
    public void Channels_that_take_at_once_get_all_places_and_no_more()
    {
        var places = new ConsumerPlaces(100);
        Assert.Equal(100, Take(places));
        Assert.Equal(0, Take(places));
        places.Give(40);
        places.Give(1);
        Assert.Equal(41, Take(places));
    }

    private static int Take(ConsumerPlaces places)
    {
        var taken = 0;
        Parallel.For(0, 1000, _ =>
        {
            if (places.TryTake())
                Interlocked.Increment(ref taken);
        });
        return taken;
    }
}
