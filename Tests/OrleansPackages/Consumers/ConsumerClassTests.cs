using OrleansMq.Consumers;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>Which classes are fit to consume, and what the errors say. Orleans registers no abstract class.</summary>
public sealed class ConsumerClassTests
{
    [Fact]
    public void Class_says_topics_types_and_attempts()
    {
        var read = ConsumerClass.Read(typeof(TwoTopics), GrainType.Create("two"), new OrleansMqConsumerOptions { MaxAttempts = 7 });
        Assert.Equal(["orders", "payments"], read.Select(static consumer => consumer.Topic).Order());
        Assert.All(read, static consumer => Assert.Equal("grains:two", consumer.Queue));
        Assert.Equal([7, 2], read.OrderBy(static consumer => consumer.Topic).Select(static consumer => consumer.Delivery.MaxAttempts));
        Assert.IsType<ValueReader<Paid>>(read.Single(static consumer => consumer.Topic == "payments").Reader);
    }

    [Theory]
    [InlineData(typeof(WithoutInterface), "[Consumes(\"orders\")]", "implement it for the type of the topic's values")]
    [InlineData(typeof(OtherType), "[Consumes<Paid>(\"orders\")]", "implement it")]
    [InlineData(typeof(Ambiguous), "for Ordered, Paid", "[Consumes<Ordered>(\"orders\")]")]
    [InlineData(typeof(WithoutKey), "no kind of key", "IGrainWithGuidKey")]
    [InlineData(typeof(TwoKeys), "or several", "IGrainWithStringKey")]
    [InlineData(typeof(Twice), "says twice that it consumes topic 'orders'", "remove one")]
    [InlineData(typeof(Worker), "[StatelessWorker]", "remove one")]
    [InlineData(typeof(Nameless), "names no topic", "name one")]
    [InlineData(typeof(Often), "MaxAttempts = 1001", "1 to 1,000")]
    [InlineData(typeof(Odd), "KeyFormat = 9", "Text or BigEndian")]
    [InlineData(typeof(Generic<>), "is generic", "without type parameters")]
    public void Class_that_cannot_consume_is_refused_by_name_with_what_to_do(Type grainClass, string problem, string fix)
    {
        var refused = Assert.Throws<OrleansConfigurationException>(() => ConsumerClass.Read(grainClass, GrainType.Create("x"),
            new OrleansMqConsumerOptions()));
        Assert.Contains($"Grain class {grainClass.FullName}", refused.Message, StringComparison.Ordinal);
        Assert.Contains(problem, refused.Message, StringComparison.Ordinal);
        Assert.Contains(fix, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Option_out_of_range_is_refused_by_name()
    {
        var refused = Assert.Throws<ArgumentException>(() => new OrleansMqConsumerOptions { MaxInFlight = 0 }.Validate());
        Assert.StartsWith("OrleansMqConsumerOptions.MaxInFlight is 1 to 10,000", refused.Message, StringComparison.Ordinal);
        new OrleansMqConsumerOptions().Validate();
    }

    private abstract class Consumer : Grain, IGrainConsumer<Ordered>, IGrainWithStringKey
    {
        public Task ConsumeAsync(Ordered value, ConsumedRecord record, CancellationToken cancellationToken) => Task.CompletedTask;
    }

    [Consumes<Ordered>("orders"), Consumes<Paid>("payments", MaxAttempts = 2)]
    private abstract class TwoTopics : Consumer, IGrainConsumer<Paid>
    {
        public Task ConsumeAsync(Paid value, ConsumedRecord record, CancellationToken cancellationToken) => Task.CompletedTask;
    }

    [Consumes("orders")]
    private abstract class Ambiguous : Consumer, IGrainConsumer<Paid>
    {
        public Task ConsumeAsync(Paid value, ConsumedRecord record, CancellationToken cancellationToken) => Task.CompletedTask;
    }

    [Consumes("orders")]
    private abstract class WithoutInterface : Grain, IGrainWithStringKey;

    [Consumes<Paid>("orders")]
    private abstract class OtherType : Consumer;

    [Consumes("orders")]
    private abstract class WithoutKey : Grain, IGrainConsumer<Ordered>
    {
        public Task ConsumeAsync(Ordered value, ConsumedRecord record, CancellationToken cancellationToken) => Task.CompletedTask;
    }

    [Consumes("orders")]
    private abstract class TwoKeys : Consumer, IGrainWithGuidKey;

    [Consumes("orders"), Consumes<Ordered>("orders")]
    private abstract class Twice : Consumer;

    [Consumes("orders"), Orleans.Concurrency.StatelessWorker]
    private abstract class Worker : Consumer;

    [Consumes("")]
    private abstract class Nameless : Consumer;

    [Consumes("orders", MaxAttempts = 1001)]
    private abstract class Often : Consumer;

    [Consumes("orders", KeyFormat = (RecordKeyFormat)9)]
    private abstract class Odd : Consumer;

    [Consumes("orders")]
    private abstract class Generic<T> : Consumer
    {
        public T? Value { get; set; }
    }
}
