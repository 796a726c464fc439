package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
)

var bigEndian, littleEndian = binary.AppendByteOrder(binary.BigEndian), binary.AppendByteOrder(binary.LittleEndian)

// upright asks for digits in each orientation, in both of Exif's byte orders.
func (e *examination) upright(ctx context.Context) error {
	digits, err := e.sheet()
	if err != nil {
		return err
	}
	var faults []error
	for label := range 10 {
		i := slices.IndexFunc(digits, func(d digit) bool { return d.label == label })
		if i < 0 {
			return fmt.Errorf("there is no %d among the digits", label)
		}
		plain, err := e.ask(ctx, digits[i].jpeg(kindPlain, 0), "image/jpeg")
		if err != nil {
			return err
		}
		for orientation := 1; orientation <= 8; orientation++ {
			for name, order := range map[string]binary.AppendByteOrder{"II": littleEndian, "MM": bigEndian} {
				got, err := e.ask(ctx, digits[i].oriented(orientation, order), "image/jpeg")
				if err != nil {
					return err
				}
				if _, err := got.digit(); err != nil || got != plain {
					faults = append(faults, fmt.Errorf("digit %d, orientation %d %s: %v, not %v", i, orientation, name, got, plain))
				}
			}
		}
	}
	return some(faults)
}

// damages is how many damaged files are sent.
const damages = 1500

// damaged asks for files with some bytes that are others, lost, or there twice.
// What they are answered depends on where these are; an answer there has to be.
func (e *examination) damaged(ctx context.Context) error {
	digits, err := e.sheet()
	if err != nil {
		return err
	}
	whole := [][]byte{
		digits[0].jpeg(kindPlain, 0), digits[1].jpeg(kindTogether, 1), digits[2].jpeg(kindTogether, 2),
		digits[3].oriented(6, littleEndian), digits[4].huge(200, 200, 0), digits[5].huge(200, 200, 5),
	}
	answers, err := e.askAll(ctx, damages/e.every, func(i int) []byte {
		return damage(whole[i%len(whole)], rand.New(rand.NewPCG(uint64(i), 11)))
	})
	if err != nil {
		return err
	}
	var faults []error
	var lines []string
	count := map[int]int{}
	for i, a := range answers {
		count[a.status]++
		line := fmt.Sprintf("damaged file %d: %d", i, a.status)
		switch a.status {
		case http.StatusOK:
			_, err = a.digit()
			line += " " + a.text
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			err = nil
			if !isSentence(a.text) {
				err = fmt.Errorf("no reason is given: %d %q", a.status, a.text)
			}
		default:
			err = fmt.Errorf("the status is %v", a)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("damaged file %d: %w", i, err))
		}
		lines = append(lines, line)
	}
	fmt.Fprintf(e.out, "%d damaged files: %d answered, %d refused, %d too large\n",
		len(answers), count[http.StatusOK], count[http.StatusBadRequest], count[http.StatusRequestEntityTooLarge])
	if count[http.StatusOK] == 0 || count[http.StatusBadRequest] == 0 {
		faults = append(faults, errors.New("all have the same status"))
	}
	if err := e.write(lines); err != nil {
		return err
	}
	return some(faults)
}

// damage returns a file with up to eight faults.
func damage(file []byte, rnd *rand.Rand) []byte {
	file = slices.Clone(file)
	for range 1 + rnd.IntN(8) {
		at := 2 + rnd.IntN(len(file)-2)
		length := min(1+rnd.IntN(16), len(file)-at)
		switch rnd.IntN(6) {
		case 0: // a bit
			file[at] ^= 1 << rnd.IntN(8)
		case 1: // any byte
			file[at] = byte(rnd.Uint32())
		case 2: // a marker's beginning
			file[at] = 0xff
		case 3: // bytes are lost
			if len(file) > 64 {
				file = slices.Delete(file, at, at+length)
			}
		case 4: // bytes are there twice
			file = slices.Insert(file, at, slices.Clone(file[at:at+length])...)
		case 5: // the tables and sizes are all in the first bytes
			file[2+rnd.IntN(min(len(file)-2, 200))] = byte(rnd.Uint32())
		}
	}
	return file
}

// crowd is how many requests there are at the same time.
const crowd = 100

// together asks for digits one after the other, and then for all at the same time.
func (e *examination) together(ctx context.Context) error {
	digits, err := e.sheet()
	if err != nil {
		return err
	}
	if len(digits) < crowd {
		return fmt.Errorf("there are only %d digits", len(digits))
	}
	files := make([][]byte, crowd)
	for i := range files {
		files[i] = digits[i].jpeg(changes[i%len(changes)], uint64(i))
	}
	ask := func(connections int) ([]answer, error) {
		return newService(e.url, e.token, connections).askAll(ctx, crowd, func(i int) []byte { return files[i] })
	}
	alone, err := ask(1)
	if err != nil {
		return err
	}
	answers, err := ask(crowd)
	if err != nil {
		return err
	}
	var faults []error
	var right score
	for i, a := range answers {
		got, err := a.digit()
		if err != nil || a != alone[i] {
			faults = append(faults, fmt.Errorf("digit %d: %v, alone %v", i, a, alone[i]))
		}
		right.add(err == nil && got == digits[i].label)
	}
	fmt.Fprintf(e.out, "%d requests at the same time: %d answers are right\n", right.all, right.right)
	return some(faults)
}

// tooLarge is the answer to a picture whose coefficients would not go into memory.
const tooLarge = "too large: 8192x6144 pixels; at most 100 megapixels, progressive 16"

// huge asks for pictures of 50 megapixels, several at a time, and for others whose
// size is one that nobody thinks of.
func (e *examination) huge(ctx context.Context) error {
	d, right, err := e.one()
	if err != nil {
		return err
	}
	nothing := answer{http.StatusBadRequest, "no digit in the picture: it is all of one brightness"}
	return errors.Join(
		e.several(ctx, "12 megapixels of a camera", d.camera(), right),
		e.several(ctx, "50 megapixels", d.huge(8192, 6144, 0), right),
		e.several(ctx, "50 megapixels, progressive", d.huge(8192, 6144, 1), answer{http.StatusRequestEntityTooLarge, tooLarge}),
		e.several(ctx, "50 megapixels, one colour after the other", d.hugeColoured(8192, 6144, 0), answer{http.StatusRequestEntityTooLarge, tooLarge}),
		e.several(ctx, "as narrow as can be", d.huge(1, 65500, 0), nothing),
		e.several(ctx, "as flat as can be", d.huge(65500, 1, 0), nothing))
}

// progressive asks for the largest pictures that are held in memory as a whole,
// several at a time, and for those that have the most scans.
func (e *examination) progressive(ctx context.Context) error {
	d, right, err := e.one()
	if err != nil {
		return err
	}
	return errors.Join(
		e.several(ctx, "16 megapixels, progressive", d.hugeColoured(4000, 4000, 6), right),
		e.several(ctx, "16 megapixels, one colour after the other", d.hugeColoured(4000, 4000, 0), right),
		e.several(ctx, "16 megapixels, 100 scans", d.huge(4000, 4000, 99), right),
		e.several(ctx, "4 megapixels, 2000 scans", d.huge(2048, 2048, 1999), answer{http.StatusRequestEntityTooLarge, "too large: more than 100 scans"}))
}

// one returns the first digit, and the answer that is right.
func (e *examination) one() (*digit, answer, error) {
	digits, err := e.sheet()
	if err != nil {
		return nil, answer{}, err
	}
	return &digits[0], answer{http.StatusOK, fmt.Sprintf(`{"result": %d}`, digits[0].label)}, nil
}

// several sends a file over each of the connections at the same time.
func (e *examination) several(ctx context.Context, name string, file []byte, want answer) error {
	answers, err := e.askAll(ctx, e.connections, func(int) []byte { return file })
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var faults []error
	for _, got := range answers {
		fmt.Fprintf(e.out, "%s: %v\n", name, got)
		if got != want {
			faults = append(faults, fmt.Errorf("%s: %v, not %v", name, got, want))
		}
	}
	return errors.Join(faults...)
}
