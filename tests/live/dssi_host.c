/* A host for one DSSI plugin over JACK: audio out, MIDI in, no ALSA sequencer.
 *
 * usage: dssi_host PLUGIN.so CLIENT_NAME
 *
 * DSSI hands a plugin its MIDI as ALSA sequencer events (dssi.h, run_synth); here they come from a JACK MIDI port.
 * Control inputs stand at the defaults that their LADSPA hints give. It says "ready" once it plays, and ends with its
 * standard input. */

#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <dssi.h>
#include <jack/jack.h>
#include <jack/midiport.h>

enum { MAX_PORTS = 64, MAX_EVENTS = 1024 };

typedef struct {
    const DSSI_Descriptor *dssi;
    LADSPA_Handle plugin;
    jack_port_t *midi;
    jack_port_t *audio[MAX_PORTS]; /* NULL where the plugin's port isn't an audio output */
    LADSPA_Data control[MAX_PORTS];
    snd_seq_event_t events[MAX_EVENTS];
} Host;

static void fail(const char *what, const char *why) {
    fprintf(stderr, "dssi_host: %s: %s\n", what, why);
    exit(1);
}

/* The default of a control port, by LADSPA's hints (ladspa.h, LADSPA_HINT_DEFAULT_*). */
static LADSPA_Data default_of(const LADSPA_PortRangeHint *range, double sample_rate) {
    const LADSPA_PortRangeHintDescriptor hint = range->HintDescriptor;
    const double scale = LADSPA_IS_HINT_SAMPLE_RATE(hint) ? sample_rate : 1;
    const double low = range->LowerBound * scale, high = range->UpperBound * scale;
    double share = 0;
    switch (hint & LADSPA_HINT_DEFAULT_MASK) {
    case LADSPA_HINT_DEFAULT_MINIMUM: return (LADSPA_Data)low;
    case LADSPA_HINT_DEFAULT_LOW: share = 0.25; break;
    case LADSPA_HINT_DEFAULT_MIDDLE: share = 0.5; break;
    case LADSPA_HINT_DEFAULT_HIGH: share = 0.75; break;
    case LADSPA_HINT_DEFAULT_MAXIMUM: return (LADSPA_Data)high;
    case LADSPA_HINT_DEFAULT_1: return 1;
    case LADSPA_HINT_DEFAULT_100: return 100;
    case LADSPA_HINT_DEFAULT_440: return 440;
    default: return 0;
    }
    if (LADSPA_IS_HINT_LOGARITHMIC(hint))
        return (LADSPA_Data)exp(log(low) * (1 - share) + log(high) * share);
    return (LADSPA_Data)(low * (1 - share) + high * share);
}

/* Notes, controllers and pitch bend; false for everything else. */
static bool convert(const jack_midi_event_t *midi, snd_seq_event_t *event) {
    if (midi->size != 3)
        return false;
    const unsigned char channel = midi->buffer[0] & 0x0F, first = midi->buffer[1], second = midi->buffer[2];
    *event = (snd_seq_event_t){.time.tick = midi->time};
    switch (midi->buffer[0] & 0xF0) {
    case 0x80:
    case 0x90:
        event->type = midi->buffer[0] >= 0x90 && second ? SND_SEQ_EVENT_NOTEON : SND_SEQ_EVENT_NOTEOFF;
        event->data.note = (snd_seq_ev_note_t){.channel = channel, .note = first, .velocity = second};
        return true;
    case 0xB0:
        event->type = SND_SEQ_EVENT_CONTROLLER;
        event->data.control = (snd_seq_ev_ctrl_t){.channel = channel, .param = first, .value = second};
        return true;
    case 0xE0:
        event->type = SND_SEQ_EVENT_PITCHBEND;
        event->data.control = (snd_seq_ev_ctrl_t){.channel = channel, .value = (second << 7 | first) - 8192};
        return true;
    default:
        return false;
    }
}

static int process(jack_nframes_t frames, void *argument) {
    Host *host = argument;
    const LADSPA_Descriptor *ladspa = host->dssi->LADSPA_Plugin;
    for (unsigned long i = 0; i < ladspa->PortCount; i++)
        if (host->audio[i])
            ladspa->connect_port(host->plugin, i, jack_port_get_buffer(host->audio[i], frames));
    void *buffer = jack_port_get_buffer(host->midi, frames);
    const jack_nframes_t arrived = jack_midi_get_event_count(buffer);
    unsigned long count = 0;
    for (jack_nframes_t i = 0; i < arrived && count < MAX_EVENTS; i++) {
        jack_midi_event_t event;
        if (jack_midi_event_get(&event, buffer, i) == 0 && convert(&event, &host->events[count]))
            count++;
    }
    host->dssi->run_synth(host->plugin, frames, host->events, count);
    return 0;
}

int main(int count, char **words) {
    static Host host;
    if (count != 3)
        fail("usage", "dssi_host PLUGIN.so CLIENT_NAME");
    void *library = dlopen(words[1], RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail(words[1], dlerror());
    DSSI_Descriptor_Function describe;
    *(void **)&describe = dlsym(library, "dssi_descriptor");
    if (!describe || !(host.dssi = describe(0)) || !host.dssi->run_synth)
        fail(words[1], "no DSSI synth");
    const LADSPA_Descriptor *ladspa = host.dssi->LADSPA_Plugin;
    if (ladspa->PortCount > MAX_PORTS)
        fail(words[1], "too many ports");

    jack_client_t *client = jack_client_open(words[2], JackNoStartServer, NULL);
    if (!client)
        fail("JACK", "no server");
    const jack_nframes_t sample_rate = jack_get_sample_rate(client);
    host.plugin = ladspa->instantiate(ladspa, sample_rate);
    if (!host.plugin)
        fail(words[1], "can't be instantiated");
    host.midi = jack_port_register(client, "midi_in", JACK_DEFAULT_MIDI_TYPE, JackPortIsInput, 0);
    for (unsigned long i = 0; i < ladspa->PortCount; i++) {
        const LADSPA_PortDescriptor port = ladspa->PortDescriptors[i];
        if (LADSPA_IS_PORT_AUDIO(port) && LADSPA_IS_PORT_OUTPUT(port)) {
            host.audio[i] = jack_port_register(client, ladspa->PortNames[i], JACK_DEFAULT_AUDIO_TYPE, JackPortIsOutput, 0);
        } else if (LADSPA_IS_PORT_CONTROL(port)) {
            host.control[i] = default_of(&ladspa->PortRangeHints[i], sample_rate);
            ladspa->connect_port(host.plugin, i, &host.control[i]);
        } else {
            fail(ladspa->PortNames[i], "audio inputs are left out here");
        }
    }
    if (ladspa->activate)
        ladspa->activate(host.plugin);
    jack_set_process_callback(client, process, &host);
    if (jack_activate(client))
        fail("JACK", "can't be activated");
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) {
    }
    jack_deactivate(client);
    if (ladspa->deactivate)
        ladspa->deactivate(host.plugin);
    ladspa->cleanup(host.plugin);
    jack_client_close(client);
    return 0;
}
