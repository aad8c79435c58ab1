using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;
using OrleansMq.Outboxes;

namespace OrleansMq.Tests.OrleansPackages.Outboxes;

/// <summary>An outbox is stored in the format of the grain's storage provider, whichever that is.</summary>
public sealed class OutboxDocumentTests
{
    [Fact]
    public void State_survives_each_serializer_of_storage_providers()
    {
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var serializer = services.GetRequiredService<Serializer>();
        Check(serializer.Deserialize<Ledger>(serializer.SerializeToArray(Some()))!);
        var json = new OrleansJsonSerializer(Microsoft.Extensions.Options.Options.Create(new OrleansJsonSerializerOptions()));
        Check((Ledger)json.Deserialize(typeof(Ledger), json.Serialize(Some(), typeof(Ledger)))!);
        Check(JsonSerializer.Deserialize<Ledger>(JsonSerializer.Serialize(Some()))!);
    }

    [Fact]
    public void State_is_copied_where_no_member_would_be_left_out()
    {
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var ledger = Some();
        var copy = StateCopies.Find<Ledger>(services, out var leftOut)!(ledger);
        Assert.Null(leftOut);
        Check(copy);
        copy.Numbers.Add(3);
        Check(ledger);
        Assert.NotNull(StateCopies.Find<OfRecord>(services, out _));
        Assert.Null(StateCopies.Find<WithNote>(services, out leftOut));
        Assert.Equal("WithNote.Note", leftOut);
        Assert.Null(StateCopies.Find<WithInner>(services, out leftOut));
        Assert.Equal("Inner.Text", leftOut);
        Assert.Null(StateCopies.Find<Unmarked>(services, out leftOut));
        Assert.Equal(typeof(Unmarked).ToString(), leftOut);
        Assert.True(StateCopies.Interleaves(typeof(InterleavedLedgerGrain)));
        Assert.False(StateCopies.Interleaves(typeof(LedgerGrain)));
    }

    [Fact]
    public void State_that_was_stored_before_it_had_an_outbox_has_none()
    {
        var old = JsonSerializer.Deserialize<Ledger>("""{"Numbers":[1,2]}""")!;
        Assert.Null(old.Outbox);
        var core = new OutboxCore(10, 1_000);
        core.Adopt(old.Outbox);
        Assert.True(core.IsDelivered);
    }

    [Fact]
    public void Bounds_count_what_waits_and_what_is_parked()
    {
        var core = new OutboxCore(2, 1_000);
        core.Adopt(new OutboxDocument { OutboxId = 1, Parked = [new OutboxMessage { Topic = "t", Sequence = 1 }] });
        core.Add(new OutboxMessage { Topic = "t", Value = new byte[100] });
        Assert.Contains("MaxPending ", Assert.Throws<OutboxFullException>(() => core.Add(new OutboxMessage { Topic = "t" })).Message);
        var bytes = new OutboxCore(10, 1_000);
        Assert.Contains("MaxPendingBytes", Assert.Throws<OutboxFullException>(() =>
            bytes.Add(new OutboxMessage { Topic = "t", Value = new byte[1_000] })).Message);
    }

    [Fact]
    public void Class_whose_outbox_would_not_be_stored_is_refused()
    {
        Assert.Null(OutboxStateMapper.WhyNotStored(typeof(Ledger)));
        Assert.Null(OutboxStateMapper.WhyNotStored(typeof(Plain)));
        Assert.Contains("[Id]", OutboxStateMapper.WhyNotStored(typeof(WithoutId)));
        Assert.Contains("public property", OutboxStateMapper.WhyNotStored(typeof(Explicit)));
        Assert.Contains("[JsonIgnore]", OutboxStateMapper.WhyNotStored(typeof(Ignored)));
        // It is what the check is for: the serializer leaves the messages out.
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var serializer = services.GetRequiredService<Serializer>();
        var stored = serializer.SerializeToArray(new WithoutId { Outbox = new OutboxDocument() });
        Assert.Null(serializer.Deserialize<WithoutId>(stored)!.Outbox);
    }

    public sealed class Plain : IHasOutbox
    {
        public OutboxDocument? Outbox { get; set; }
    }

#pragma warning disable ORLEANS0004 // The mistake that the check finds where this analyzer is not used.
    [GenerateSerializer]
    public sealed class WithoutId : IHasOutbox
    {
        [Id(0)]
        public int Amount { get; set; }

        public OutboxDocument? Outbox { get; set; }
    }
#pragma warning restore ORLEANS0004

    public sealed class Explicit : IHasOutbox
    {
        OutboxDocument? IHasOutbox.Outbox { get; set; }
    }

    public sealed class Ignored : IHasOutbox
    {
        [System.Text.Json.Serialization.JsonIgnore]
        public OutboxDocument? Outbox { get; set; }
    }

    private static Ledger Some() => new()
    {
        Numbers = [1, 2],
        Outbox = new OutboxDocument
        {
            OutboxId = long.MaxValue,
            LastSequence = 7,
            Stamp = new Guid("5a0f0000-0000-0000-0000-000000000001"),
            Pending =
            [
                new OutboxMessage
                {
                    Sequence = 6,
                    ProducerId = long.MaxValue - 1,
                    MessageId = "1-2",
                    Topic = "orders",
                    Partition = 3,
                    Key = [1],
                    Value = [2, 3],
                    Timestamp = 4,
                    Headers = [new OutboxHeader { Name = "via", Value = [5] }, new OutboxHeader { Name = "none" }],
                },
            ],
            Parked = [new OutboxMessage { Sequence = 7, Topic = "orders", Refusal = "MessageTooLarge: why" }],
        },
    };

    private static void Check(Ledger read) => Assert.Equal(JsonSerializer.Serialize(Some()), JsonSerializer.Serialize(read));
}

/// <summary>A state of records.</summary>
[GenerateSerializer]
public sealed record OfRecord : IHasOutbox
{
    [Id(0)]
    public List<Named> Names { get; set; } = [];

    [Id(1)]
    public OutboxDocument? Outbox { get; set; }
}

/// <summary>Its id comes from the place of the parameter.</summary>
[GenerateSerializer]
public sealed record Named(string Name);

#pragma warning disable ORLEANS0004 // Members without [Id] are what is tested.
/// <summary>A storage that writes public properties stores the note, and Orleans' copier leaves it out.</summary>
[GenerateSerializer]
public sealed class WithNote : IHasOutbox
{
    public string Note { get; set; } = "";

    [Id(0)]
    public OutboxDocument? Outbox { get; set; }
}

/// <summary>A state with such a class in it.</summary>
[GenerateSerializer]
public sealed class WithInner : IHasOutbox
{
    [Id(0)]
    public Dictionary<string, Inner[]> Inners { get; set; } = [];

    [Id(1)]
    public OutboxDocument? Outbox { get; set; }
}

/// <summary>A class with a text that has no id.</summary>
[GenerateSerializer]
public sealed class Inner
{
    [Id(0)]
    public int Number { get; set; }

    public string Text { get; set; } = "";
}
#pragma warning restore ORLEANS0004

/// <summary>A state without a copier.</summary>
public sealed class Unmarked : IHasOutbox
{
    public OutboxDocument? Outbox { get; set; }
}
