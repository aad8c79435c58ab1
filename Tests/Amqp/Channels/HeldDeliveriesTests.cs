using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Queues;

namespace OrleansMq.Tests.Amqp.Channels;

/// <summary>The deliveries that a consumer holds.</summary>
public sealed class HeldDeliveriesTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Oldest_is_the_first_that_was_added_of_those_that_are_there(int seed)
    {
        var random = new Random(seed);
        var held = new HeldDeliveries();
        var expected = new List<Delivery>();
        for (ulong tag = 1; tag < 2_000; tag++)
        {
            if (random.Next(2) == 0 || expected.Count == 0)
            {
                var delivery = new Delivery(tag, new MessageHold(0, 0), null, 0, null!, null!, null, 0);
                Assert.Equal(expected.Count == 0, held.Add(delivery));
                expected.Add(delivery);
            }
            else
            {
                var delivery = expected[random.Next(expected.Count)];
                held.Remove(delivery);
                expected.Remove(delivery);
                // As a transaction that is rolled back gives it back.
                if (random.Next(4) == 0)
                {
                    held.Add(delivery);
                    expected.Add(delivery);
                }
            }
            Assert.Same(expected.FirstOrDefault(), held.Oldest);
        }
    }
}
