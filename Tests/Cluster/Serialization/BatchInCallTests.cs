using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;
using OrleansMq.Grains;

namespace OrleansMq.Tests.Cluster.Serialization;

/// <summary>The ownership of a batch's bytes during a grain call.</summary>
public sealed class BatchInCallTests
{
    private static readonly IServiceProvider Services =
        new ServiceCollection().AddSerializer(builder => builder.AddAssembly(typeof(IClusterGrain).Assembly)).BuildServiceProvider();

    private static readonly Serializer<BatchInCall> Serializer = Services.GetRequiredService<Serializer<BatchInCall>>();

    [Theory]
    [InlineData(0)]
    [InlineData(100)]
    [InlineData(70_000)]
    public void Batch_arrives_in_its_own_memory(int length)
    {
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        using var lent = BatchInCall.Lend(bytes);
        using var received = Serializer.Deserialize(Serializer.SerializeToArray(lent));
        Assert.Equal(bytes, received!.Own(out var owner).ToArray());
        Assert.Same(received, owner);
    }

    [Fact]
    public void Revoked_batch_is_not_sent()
    {
        var lent = BatchInCall.Lend(new byte[] { 1, 2, 3 });
        lent.Dispose();
        using var received = Serializer.Deserialize(Serializer.SerializeToArray(lent));
        Assert.True(received!.Own(out _).IsEmpty);
    }

    [Fact]
    public void Local_receiver_writes_to_a_copy()
    {
        byte[] callers = [1, 2, 3];
        using var lent = BatchInCall.Lend(callers);
        var own = lent.Own(out var owner);
        using (owner)
        {
            own.Span[0] = 9;
            Assert.Equal([1, 2, 3], callers);
            lent.Dispose();
            Assert.Equal([9, 2, 3], own.ToArray());
        }
    }

    [Fact]
    public void Batch_is_forwarded_unchanged_to_a_remote_grain()
    {
        using var lent = BatchInCall.Lend(new byte[] { 1, 2, 3 });
        using var received = Serializer.Deserialize(Serializer.SerializeToArray(lent));
        using var sentOn = Serializer.Deserialize(Serializer.SerializeToArray(received!));
        Assert.Equal([1, 2, 3], sentOn!.Own(out _).ToArray());
    }

    [Fact]
    public void Several_batches_arrive_in_order()
    {
        byte[][] batches = [[1, 2, 3], [], new byte[70_000], [4]];
        var lent = Array.ConvertAll(batches, static batch => BatchInCall.Lend(batch));
        var serializer = Services.GetRequiredService<Serializer<BatchInCall[]>>();
        var received = serializer.Deserialize(serializer.SerializeToArray(lent))!;
        Assert.Equal(batches, received.Select(batch => batch.Own(out _).ToArray()));
    }
}
