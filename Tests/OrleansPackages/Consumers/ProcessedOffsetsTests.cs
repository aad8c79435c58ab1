using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Newtonsoft.Json;
using Orleans.Serialization;
using OrleansMq.Consumers;
using JsonSerializer = System.Text.Json.JsonSerializer;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>The last position of each source, as grains keep it in their state.</summary>
public sealed class ProcessedOffsetsTests
{
    private static readonly Guid Topic = Guid.NewGuid();

    [Fact]
    public void Record_is_applied_once()
    {
        var processed = new ProcessedOffsets();
        Assert.True(Applies(processed, At(5)));
        Assert.False(Applies(processed, At(5)));
        Assert.False(Applies(processed, At(4)));
        Assert.True(processed.Contains(At(5)));
        Assert.False(processed.Contains(At(6)));
        // Offsets have gaps.
        Assert.True(Applies(processed, At(9)));
        Assert.Equal(At(9), Assert.Single(processed.Last));
    }

    [Fact]
    public void Sources_are_apart_by_topic_id_and_partition_and_key()
    {
        var processed = new ProcessedOffsets();
        RecordPosition[] positions = [At(7), At(7, partition: 1), At(7, key: 2), RecordPosition.Of(Guid.NewGuid(), 0, [1], 7)];
        Assert.All(positions, position => Assert.True(Applies(processed, position)));
        Assert.All(positions, position => Assert.False(Applies(processed, position)));
    }

    [Fact]
    public void Oldest_sources_are_forgotten_beyond_the_bound()
    {
        var processed = new ProcessedOffsets();
        Assert.True(Applies(processed, At(1)));
        for (byte key = 2; key <= ProcessedOffsets.MaxSources; key++)
            Assert.True(Applies(processed, At(1, key: key)));
        // The first one advances, and is the youngest then.
        Assert.True(Applies(processed, At(2)));
        Assert.True(Applies(processed, At(1, key: 200)));
        Assert.Equal(ProcessedOffsets.MaxSources, processed.Last.Count);
        Assert.True(processed.Contains(At(2)));
        Assert.False(processed.Contains(At(1, key: 2)));
        Assert.True(processed.Contains(At(1, key: 3)));
    }

    [Theory]
    [InlineData("orleans")]
    [InlineData("orleans copy")]
    [InlineData("system.text.json")]
    [InlineData("newtonsoft")]
    [InlineData("newtonsoft as grain storage")]
    public void State_keeps_its_positions_in_every_format(string format)
    {
        var tally = new Tally { Numbers = [1] };
        Assert.True(Applies(tally.Processed, At(1)));
        Assert.True(Applies(tally.Processed, At(long.MaxValue, key: 2)));
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var read = format switch
        {
            "orleans" => services.GetRequiredService<Serializer>().Deserialize<Tally>(
                services.GetRequiredService<Serializer>().SerializeToArray(tally)),
            "orleans copy" => services.GetRequiredService<DeepCopier>().Copy(tally),
            "system.text.json" => JsonSerializer.Deserialize<Tally>(JsonSerializer.Serialize(tally, JsonSerializerOptions.Web),
                JsonSerializerOptions.Web),
            "newtonsoft" => JsonConvert.DeserializeObject<Tally>(JsonConvert.SerializeObject(tally)),
            _ => JsonConvert.DeserializeObject<Tally>(JsonConvert.SerializeObject(tally, GrainStorageJson), GrainStorageJson),
        };
        Assert.NotSame(tally.Processed, read!.Processed);
        Assert.Equal(tally.Processed.Last, read.Processed.Last);
        Assert.Equal(2, read.Processed.Last.Count);
        Assert.False(Applies(read.Processed, At(1)));
        Assert.True(Applies(read.Processed, At(2)));
        Assert.Equal(At(1), tally.Processed.Last[0]);
    }

    [Fact]
    public void Change_that_throws_leaves_the_record_unapplied()
    {
        var processed = new ProcessedOffsets();
        Assert.Throws<InvalidOperationException>(() => processed.TryApply(At(5), static () => throw new InvalidOperationException("no")));
        Assert.False(processed.Contains(At(5)));
        Assert.True(Applies(processed, At(5)));
    }

    // As Orleans' storage providers write by default.
    private static JsonSerializerSettings GrainStorageJson { get; } = new()
    {
        TypeNameHandling = TypeNameHandling.All,
        PreserveReferencesHandling = PreserveReferencesHandling.Objects,
        DefaultValueHandling = DefaultValueHandling.Ignore,
        MissingMemberHandling = MissingMemberHandling.Ignore,
        NullValueHandling = NullValueHandling.Ignore,
        ConstructorHandling = ConstructorHandling.AllowNonPublicDefaultConstructor,
    };

    // A change is made when, and only when, the answer says so.
    private static bool Applies(ProcessedOffsets processed, RecordPosition position)
    {
        var changes = 0;
        var applied = processed.TryApply(new ConsumedRecord(position), () => changes++);
        Assert.Equal(applied ? 1 : 0, changes);
        Assert.Equal((true, false), (processed.Contains(position), processed.TryApply(position, () => changes++)));
        return applied;
    }

    private static RecordPosition At(long offset, int partition = 0, byte key = 1) => RecordPosition.Of(Topic, partition, [key], offset);
}
