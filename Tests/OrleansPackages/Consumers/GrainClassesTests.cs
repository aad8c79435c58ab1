using OrleansMq.Consumers;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>For how long no silo has had a grain class.</summary>
public sealed class GrainClassesTests
{
    private static readonly GrainType Class = GrainType.Create("account");
    private static readonly GrainType Other = GrainType.Create("order");

    private readonly ScriptedManifests _manifests = new();
    private readonly SetClock _clock = new();
    private readonly GrainClasses _classes;

    public GrainClassesTests() => _classes = new GrainClasses(_manifests, _clock);

    [Fact]
    public void Absence_lasts_from_the_first_question_and_is_reported_once_a_minute()
    {
        Assert.Equal((TimeSpan.Zero, false), Missing());
        _clock.Advance(TimeSpan.FromSeconds(59));
        Assert.Equal((TimeSpan.FromSeconds(59), true), Missing());
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal((TimeSpan.FromMinutes(1), false), Missing());
        Assert.Equal((TimeSpan.FromMinutes(1), true), Missing());
    }

    [Fact]
    public async Task Absence_ends_with_a_manifest_that_has_the_class_whether_it_is_asked_about_or_not()
    {
        Assert.Equal((TimeSpan.Zero, false), Missing());
        await _manifests.SetAsync((Other, null), (Class, null));
        _clock.Advance(TimeSpan.FromHours(1));
        await _manifests.SetAsync((Other, null));
        Assert.Equal((TimeSpan.Zero, false), Missing());
        // The next absence is followed as the first one was.
        await _manifests.SetAsync((Class, null));
        _clock.Advance(TimeSpan.FromHours(1));
        await _manifests.SetAsync();
        Assert.Equal((TimeSpan.Zero, false), Missing());
        _clock.Advance(TimeSpan.FromHours(1));
        Assert.Equal((TimeSpan.FromHours(1), false), Missing());
    }

    [Fact]
    public async Task Absence_goes_on_through_manifests_without_the_class()
    {
        Assert.Equal((TimeSpan.Zero, false), Missing());
        Assert.Equal(TimeSpan.Zero, _classes.MissingFor(Other, out _));
        _clock.Advance(TimeSpan.FromHours(1));
        await _manifests.SetAsync((Other, null));
        Assert.Equal((TimeSpan.FromHours(1), false), Missing());
        Assert.Null(_classes.MissingFor(Other, out _));
    }

    [Fact]
    public async Task Generic_class_is_known_by_its_declaration()
    {
        var constructed = GrainType.Create("box`1[[System.String]]");
        Assert.Equal(TimeSpan.Zero, _classes.MissingFor(constructed, out _));
        Assert.Equal(TimeSpan.Zero, _classes.MissingFor(GrainType.Create("a`b"), out _));
        await _manifests.SetAsync((GrainType.Create("box`1"), null));
        Assert.Null(_classes.MissingFor(constructed, out _));
    }

    [Fact]
    public void Names_that_no_silo_has_are_forgotten_beyond_a_number()
    {
        Assert.Equal((TimeSpan.Zero, false), Missing());
        _clock.Advance(TimeSpan.FromSeconds(1));
        for (var number = 0; number < Absences<GrainType>.Most; number++)
            Assert.Equal(TimeSpan.Zero, _classes.MissingFor(GrainType.Create($"none-{number}"), out _));
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal((TimeSpan.Zero, false), Missing());
        Assert.Equal(TimeSpan.FromSeconds(1), _classes.MissingFor(GrainType.Create("none-1"), out _));
    }

    private (TimeSpan? For, bool IsReported) Missing() => (_classes.MissingFor(Class, out var isReported), isReported);
}
