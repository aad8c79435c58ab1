using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;
using OrleansMq.Grains;

namespace OrleansMq.Tests.Cluster.Serialization;

/// <summary>Whose the bytes of a batch are on its way.</summary>
public sealed class BatchInCallTests
{
    private static readonly IServiceProvider Services =
        new ServiceCollection().AddSerializer(builder => builder.AddAssembly(typeof(IClusterGrain).Assembly)).BuildServiceProvider();

    private static readonly Serializer<BatchInCall> Serializer = Services.GetRequiredService<Serializer<BatchInCall>>();

    [Theory]
    [InlineData(0)]
    [InlineData(100)]
    [InlineData(70_000)]
    public void ItArrivesInMemoryOfItsOwn(int length)
    {
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        using var lent = BatchInCall.Lend(bytes);
        using var received = Serializer.Deserialize(Serializer.SerializeToArray(lent));
        Assert.Equal(bytes, received!.Own(out var owner).ToArray());
        Assert.Same(received, owner);
    }

    [Fact]
    public void WhatIsRevokedIsNotSentAnyMore()
    {
        var lent = BatchInCall.Lend(new byte[] { 1, 2, 3 });
        lent.Dispose();
        using var received = Serializer.Deserialize(Serializer.SerializeToArray(lent));
        Assert.True(received!.Own(out _).IsEmpty);
    }

    [Fact]
    public void WhoTakesItInTheCallersProcessWritesToACopy()
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
    public void ItIsSentOnAsItCameWhereItsGrainIsElsewhere()
    {
        using var lent = BatchInCall.Lend(new byte[] { 1, 2, 3 });
        using var received = Serializer.Deserialize(Serializer.SerializeToArray(lent));
        using var sentOn = Serializer.Deserialize(Serializer.SerializeToArray(received!));
        Assert.Equal([1, 2, 3], sentOn!.Own(out _).ToArray());
    }

    [Fact]
    public void SeveralArriveInTheirOrder()
    {
        byte[][] batches = [[1, 2, 3], [], new byte[70_000], [4]];
        var lent = Array.ConvertAll(batches, static batch => BatchInCall.Lend(batch));
        var serializer = Services.GetRequiredService<Serializer<BatchInCall[]>>();
        var received = serializer.Deserialize(serializer.SerializeToArray(lent))!;
        Assert.Equal(batches, received.Select(batch => batch.Own(out _).ToArray()));
    }
}
