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
}
