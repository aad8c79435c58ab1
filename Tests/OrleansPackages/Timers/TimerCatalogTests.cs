using OrleansMq.Tests.OrleansPackages.Consumers;
using OrleansMq.Timers;

namespace OrleansMq.Tests.OrleansPackages.Timers;

/// <summary>For how long no silo has handled the messages of timers in a grain class.</summary>
public sealed class TimerCatalogTests
{
    private const string Message = "reminder";
    private static readonly GrainType Class = GrainType.Create("account");

    [Fact]
    public async Task Absence_of_a_handler_ends_with_a_manifest_that_has_it_whether_it_is_asked_about_or_not()
    {
        var (manifests, clock) = (new ScriptedManifests(), new SetClock());
        var catalog = new TimerCatalog(manifests, clock);
        await manifests.SetAsync((Class, TimerProperties.KeyOf("another")));
        Assert.Equal(TimeSpan.Zero, catalog.MissingFor(Class, Message));
        clock.Advance(TimeSpan.FromHours(1));
        Assert.Equal(TimeSpan.FromHours(1), catalog.MissingFor(Class, Message));
        await manifests.SetAsync((Class, TimerProperties.KeyOf(Message)));
        clock.Advance(TimeSpan.FromHours(1));
        await manifests.SetAsync((Class, TimerProperties.KeyOf("another")));
        Assert.Equal(TimeSpan.Zero, catalog.MissingFor(Class, Message));
        await manifests.SetAsync((Class, TimerProperties.KeyOf(Message)));
        Assert.Null(catalog.MissingFor(Class, Message));
    }

    [Theory]
    [InlineData("Integer", "1f", true)]
    [InlineData("Integer", "order-7", false)]
    [InlineData("Integer", "1f+x", false)]
    [InlineData("IntegerCompound", "1f+x", true)]
    [InlineData("IntegerCompound", "x+1f", false)]
    [InlineData("Guid", "0f8fad5bd9cb469fa16570867728950e", true)]
    [InlineData("Guid", "order-7", false)]
    [InlineData("GuidCompound", "0f8fad5bd9cb469fa16570867728950e+x", true)]
    [InlineData("GuidCompound", "order-7", false)]
    [InlineData("Text", "order-7", true)]
    [InlineData("Later", "order-7", true)]
    public async Task Key_is_one_of_the_kind_that_the_class_has(string kind, string key, bool isOne)
    {
        var manifests = new ScriptedManifests();
        var catalog = new TimerCatalog(manifests, TimeProvider.System);
        var grain = GrainId.Create(Class, key);
        Assert.Null(catalog.WhyNoKey(grain));
        await manifests.SetWithAsync(Class, TimerProperties.KeyKind, kind);
        Assert.Equal(isOne, catalog.WhyNoKey(grain) is null);
    }
}
