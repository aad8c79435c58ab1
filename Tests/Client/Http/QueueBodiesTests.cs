using System.Reflection;
using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Http;

/// <summary>What HTTP says of queues has every property of the API's types: a new one that a body lacks fails here.</summary>
public sealed class QueueBodiesTests
{
    private static readonly TopicPartition Partition = new("t", 3);

    [Fact]
    public void Body_of_a_queue_loses_no_property()
    {
        var options = Filled(new QueueOptions());
        Assert.Equal(options, QueueOptionsBody.Of(options).ToOptions());
        var attach = Filled(new QueueAttachOptions());
        Assert.Equal(attach, AttachQueueBody.Of(attach).ToOptions());
        var description = Filled(new QueueDescription("q", Guid.NewGuid(), options));
        Assert.Equal(description, QueueDocument.Of(Partition, description).ToDescription());
        var handler = Filled(new QueueHandler(Guid.NewGuid(), 1, TimeSpan.FromSeconds(1)));
        Assert.Equal(handler, QueueHandlerDocument.Of(Partition, handler).ToHandler());
    }

    [Theory]
    [InlineData("earliest")]
    [InlineData("latest")]
    [InlineData("1700000000000")]
    [InlineData("offset:0")]
    [InlineData("offset:4611686018427387904")]
    public void Start_of_a_queue_is_read_as_it_is_written(string text)
    {
        Assert.True(HttpContract.TryParseQueueStart(text, out var start));
        Assert.Equal(text, HttpContract.FormatQueueStart(start));
        Assert.Equal(text.StartsWith("offset:", StringComparison.Ordinal), start.Offset is not null);
    }

    [Theory]
    [InlineData("")]
    [InlineData("max-timestamp")]
    [InlineData("latest-proven")]
    [InlineData("-1")]
    [InlineData("offset:")]
    [InlineData("offset:-1")]
    [InlineData("offset:x")]
    [InlineData("offset:4611686018427387905")]
    [InlineData("offset:99999999999999999999")]
    public void Start_of_a_queue_that_is_none_is_refused(string text) => Assert.False(HttpContract.TryParseQueueStart(text, out _));

    // Each property has a value that is neither its default nor that of another one.
    private static T Filled<T>(T value) where T : class
    {
        var number = 1;
        foreach (var property in typeof(T).GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(one => one.CanWrite))
        {
            number++;
            var type = Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType;
            property.SetValue(value, type == typeof(int) ? number
                : type == typeof(long) ? (long)number
                : type == typeof(bool) ? !(bool)property.GetValue(value)!
                : type == typeof(TimeSpan) ? TimeSpan.FromSeconds(number)
                : type == typeof(string) ? $"text {number}"
                : type == typeof(Guid) ? Guid.NewGuid()
                : type.IsEnum ? Enum.GetValues(type).Cast<object>().Last(one => !one.Equals(property.GetValue(value)))
                : type == typeof(QueueOptions) ? property.GetValue(value)
                : throw new NotSupportedException($"{property} needs a sample."));
        }
        return value;
    }
}
