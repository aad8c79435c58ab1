using OrleansMq.Coordination;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Simulation.Groups;

// The store: slow, failing clearly, failing with unknown outcome, or down for a while.
internal sealed partial class GroupSimulation
{
    private readonly SimulatedDocuments _documents = new();
    private long _storeDownUntil;

    private bool StoreIsDown => Now < _storeDownUntil;

    private int StoreDelay() => Chance(4) ? _random.Next(1_500) : 1 + _random.Next(Scenario.StoreDelayMs);

    private void Read(SimulatedCoordinator coordinator)
    {
        coordinator.WantsToRead = false;
        var failed = StoreIsDown || Fails(Scenario.StoreFailsPercent / 3);
        After(StoreDelay(), () =>
        {
            var (stored, group, offsets) = (_documents.Read(), _documents.Group.Version, _documents.Offsets.Version);
            After(StoreDelay(), () => RunOn(coordinator, () =>
            {
                if (!failed)
                {
                    (coordinator.Versions[GroupDocuments.Group], coordinator.Versions[GroupDocuments.Offsets]) = (group, offsets);
                    OnRead(coordinator, stored);
                }
                else if (coordinator.Core is null)
                    Read(coordinator);
                else
                    Give(coordinator, new ReadFailed("the store is down"));
            }));
        });
    }

    private void Confirm(SimulatedCoordinator coordinator, ConfirmClaim confirm)
    {
        var failed = StoreIsDown || Fails(Scenario.StoreFailsPercent / 3);
        Figures.Confirmations++;
        After(StoreDelay(), () =>
        {
            var claim = _documents.ReadOffsets()?.Coordinator;
            After(StoreDelay(), () => RunOn(coordinator, () =>
                Give(coordinator, failed ? new ClaimReadFailed(confirm.Number, "the store is down")
                    : new ClaimRead(confirm.Number, claim))));
        });
    }

    private void Write(SimulatedCoordinator coordinator, Store write)
    {
        var version = coordinator.Versions[write.Document];
        coordinator.WritesInFlight++;
        // A definite failure: nothing reaches the store.
        if (Fails(Scenario.StoreFailsPercent / 2))
        {
            After(StoreDelay(), () => RunOn(coordinator, () => GiveFailed("refused")));
            return;
        }
        var unclear = StoreIsDown || Fails(Scenario.StoreFailsPercent);
        if (unclear)
        {
            Figures.Unclear++;
            After(StoreDelay(), () => RunOn(coordinator, () => GiveFailed("no answer")));
            if (Chance(40))
                return;
        }
        // An abandoned write may be stored much later.
        After(unclear && Chance(50) ? _random.Next(3_000) : StoreDelay(), () =>
        {
            var isStored = TryWrite(coordinator, write, version);
            var stored = _documents.VersionOf(write.Document);
            if (unclear)
                return;
            After(StoreDelay(), () => RunOn(coordinator, () =>
            {
                if (!isStored)
                {
                    GiveFailed("conflict");
                    return;
                }
                coordinator.WritesInFlight--;
                coordinator.Versions[write.Document] = stored;
                if (write.Document == GroupDocuments.Group)
                    Learn(coordinator, (GroupDocument?)write.Content);
                Give(coordinator, new StoreCompleted(write.Document, write.Version));
            }));
        });

        void GiveFailed(string reason)
        {
            coordinator.WritesInFlight--;
            Give(coordinator, new StoreFailed(write.Document, reason, IsConflict: reason == "conflict"));
        }
    }

    private bool TryWrite(SimulatedCoordinator coordinator, Store write, long version)
    {
        var (group, offsets) = (_documents.Group.Value, _documents.Offsets.Value);
        var isStored = _documents.TryWrite(write, version);
        if (IsTraced)
            Tell($"store <- {coordinator}: {Describe(write)}: {(isStored ? "stored" : "refused")}");
        if (isStored)
            OnStored(coordinator, write, group, offsets);
        return isStored;
    }

    private bool Fails(int percent) => !Quiet && Chance(percent);
}
